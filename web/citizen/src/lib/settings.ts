import { Api } from '@banshi/api'
import type { Schemas } from '@banshi/api'
import { ref } from 'vue'
import { learnTime } from './clock'
import { serverOrigin } from './origin'
import { keep, kept } from './store'
import { uniTransport } from './transport'

export type ClientSettings = Schemas['ClientSettings']

/** What the server says before anybody logs in; what it said last time until it has answered. */
export const settings = ref<ClientSettings | null>(kept<ClientSettings>('settings'))

const plain = new Api({ base: serverOrigin(), transport: uniTransport })
let asking: Promise<ClientSettings | null> | null = null

/** Ask once; where no answer comes, what was kept. A failed question is asked again next time. */
export function loadSettings(): Promise<ClientSettings | null> {
  const asked = Date.now()
  asking ??= plain
    .get('/api/client-settings')
    .then((view) => {
      settings.value = view
      learnTime(view.server_time, asked)
      keep('settings', view)
      return view
    })
    .catch(() => {
      asking = null
      return settings.value
    })
  return asking
}
