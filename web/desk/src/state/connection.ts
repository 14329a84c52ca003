import { reactive, watch } from 'vue'

/** Whether the server can be reached, as far as the last call and the browser told. */
export const connection = reactive({ online: navigator.onLine, tooOld: false })

window.addEventListener('offline', () => (connection.online = false))
window.addEventListener('online', () => (connection.online = true))

/** Called whenever the server can be reached again; for use in a component's setup. */
export function onBackOnline(work: () => void): void {
  watch(
    () => connection.online,
    (online) => online && work(),
  )
}
