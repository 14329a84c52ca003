import { reactive } from 'vue'

/** Whether the server can be reached, as far as the last call and the browser told. */
export const connection = reactive({ online: navigator.onLine, tooOld: false })

window.addEventListener('offline', () => (connection.online = false))
window.addEventListener('online', () => (connection.online = true))
