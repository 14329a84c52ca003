import { ref } from 'vue'
import { api } from '../api'

/** How far the server's clock is ahead of this computer's, in milliseconds. */
let ahead = Number(localStorage.getItem('banshi.desk.clock')) || 0

export function serverNow(): number {
  return Date.now() + ahead
}

/** The server's time, renewed every second: what waits is counted by the server's clock, not by this computer's. */
export const now = ref(serverNow())

setInterval(() => (now.value = serverNow()), 1000)

/** Ask the server what time it is. */
export async function setClock(): Promise<void> {
  const asked = Date.now()
  const { server_time } = await api.get('/api/client-settings')
  ahead = Date.parse(server_time) - (asked + Date.now()) / 2
  localStorage.setItem('banshi.desk.clock', String(Math.round(ahead)))
  now.value = serverNow()
}
