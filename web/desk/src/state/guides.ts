import type { Schemas } from '@banshi/api'
import { api } from '../api'

export type Guide = Schemas['MatterView']

const found = new Map<string, Promise<Guide>>()

/** The guide of a matter at one version, which never changes: fetched once. */
export function guideOf(matterId: string, version: number): Promise<Guide> {
  const key = `${matterId}@${version}`
  let asked = found.get(key)
  if (!asked) {
    asked = api.get('/api/matters/{matter_id}', { path: { matter_id: matterId }, query: { version } })
    asked.catch(() => found.delete(key))
    found.set(key, asked)
  }
  return asked
}
