import { ref } from 'vue'
import { api } from '../api'

/** How far the server's clock is ahead of this computer's, in milliseconds. */
let ahead = 0

/** The server's time, renewed every second: what waits is counted by the server's clock, not by this computer's. */
export const now = ref(Date.now())

setInterval(() => (now.value = Date.now() + ahead), 1000)

/** Ask the server what time it is. */
export async function setClock(): Promise<void> {
  const asked = Date.now()
  const { server_time } = await api.get('/api/client-settings')
  ahead = Date.parse(server_time) - (asked + Date.now()) / 2
  now.value = Date.now() + ahead
}
