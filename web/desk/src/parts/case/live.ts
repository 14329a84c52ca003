import { onMounted, onUnmounted } from 'vue'

const EVERY = 15_000

/** Look again every 15 seconds while the page is in view, and at once when somebody comes back to it. */
export function useLive(look: () => Promise<unknown>): void {
  let busy = false
  let timer = 0

  async function once(): Promise<void> {
    if (busy || document.visibilityState !== 'visible') return
    busy = true
    try {
      await look()
    } catch {
      // the banner says when there is no network; the next look comes by itself
    } finally {
      busy = false
    }
  }

  onMounted(() => {
    timer = window.setInterval(() => void once(), EVERY)
    window.addEventListener('focus', once)
    window.addEventListener('online', once)
    document.addEventListener('visibilitychange', once)
  })
  onUnmounted(() => {
    clearInterval(timer)
    window.removeEventListener('focus', once)
    window.removeEventListener('online', once)
    document.removeEventListener('visibilitychange', once)
  })
}
