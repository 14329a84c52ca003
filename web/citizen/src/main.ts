import { createSSRApp } from 'vue'
import App from './App.vue'
// #ifdef H5
import PageFailed from './parts/PageFailed.vue'
// #endif

/** uni-app calls this, in the browser and in the mini-program. */
export function createApp() {
  const app = createSSRApp(App)
  // #ifdef H5
  // the framework's own stays away where one of this name is there: a page whose code did not come
  app.component('AsyncError', PageFailed)
  // #endif
  return { app }
}
