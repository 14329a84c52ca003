import { ref } from 'vue'

/** Whether the phone says that it has a network. */
export const online = ref(true)

/** Follow the phone's network; once, at the start. */
export function watchNetwork(): void {
  // #ifdef H5
  online.value = navigator.onLine
  window.addEventListener('online', () => (online.value = true))
  window.addEventListener('offline', () => (online.value = false))
  // #endif
  // #ifndef H5
  uni.getNetworkType({ success: ({ networkType }) => (online.value = networkType !== 'none') })
  uni.onNetworkStatusChange(({ isConnected }) => (online.value = isConnected))
  // #endif
}
