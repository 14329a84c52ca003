import { ref } from 'vue'
import { api } from './api'
import { loggedIn } from './session'

/** How many notices wait to be read. */
export const unread = ref(0)

/** Ask again; keeps the old number where no answer comes. */
export async function countUnread(): Promise<void> {
  if (!loggedIn.value) {
    unread.value = 0
    return
  }
  try {
    unread.value = (await api.get('/api/notices/unread')).unread
  } catch {
    // the number is asked for again at the next page
  }
}
