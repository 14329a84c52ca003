import { Api } from '@banshi/api'
import { serverOrigin } from './origin'
import { dropSession, renewTokens, session } from './session'
import { uniTransport } from './transport'

export { ApiProblem, uuid } from '@banshi/api'
export type { Schemas } from '@banshi/api'

/** The server, as this phone's owner (or as nobody, for what is public). */
export const api = new Api({
  base: serverOrigin(),
  transport: uniTransport,
  token: () => session.value?.access ?? null,
  refresh: renewTokens,
  onSessionEnded: dropSession,
})
