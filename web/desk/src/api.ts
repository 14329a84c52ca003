import { Api, fetchTransport } from '@banshi/api'
import { reactive } from 'vue'

/** Whether somebody is logged in here, as far as the last answer told. Pages log in with a cookie. */
export const door = reactive({ ended: false })

export const api = new Api({
  transport: fetchTransport(),
  onSessionEnded: () => {
    door.ended = true
  },
})
