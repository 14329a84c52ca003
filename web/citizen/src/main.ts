import { createSSRApp } from 'vue'
import App from './App.vue'

/** uni-app calls this, in the browser and in the mini-program. */
export function createApp() {
  const app = createSSRApp(App)
  return { app }
}
