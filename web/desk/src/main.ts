import { createApp } from 'vue'
import App from './App.vue'
import 'element-plus/es/components/message/style/css'
import 'element-plus/es/components/message-box/style/css'
import 'element-plus/es/components/notification/style/css'
import './style.css'
import { router } from './router'
import './state/attention'
import './state/refused'
import './state/update'

createApp(App).use(router).mount('#app')
