import type { LocationQuery } from 'vue-router'
import { api } from '../../api'
import type { CaseState } from './types'

export const TABS = ['received', 'handling', 'correction', 'today', 'overdue', 'closed'] as const
export type Tab = (typeof TABS)[number]

const RECEIVED: CaseState[] = ['submitted', 'resubmitted']
const HANDLING: CaseState[] = [
  'accepted',
  'pre_review',
  'site_visit',
  'special_procedure',
  'extended',
  're_review',
  'approved',
  'refused',
  'certificate_print',
  'delivered',
]

/** The states that a tab offers to choose from. */
export const STATES: Record<Tab, CaseState[]> = {
  received: RECEIVED,
  handling: ['accepted', 'approved', 'refused'],
  correction: [],
  today: [...RECEIVED, 'accepted'],
  overdue: [...RECEIVED, 'accepted'],
  closed: ['closed', 'not_accepted', 'withdrawn'],
}

function one(value: LocationQuery[string] | undefined): string | undefined {
  return (Array.isArray(value) ? value[0] : value) || undefined
}

/** The tab that an address names. */
export function tabOf(query: LocationQuery): Tab {
  const named = (one(query.tab) ?? one(query.due)) as Tab
  return TABS.includes(named) ? named : 'received'
}

/** What the address of the list asks of the server. */
export function askOf(query: LocationQuery) {
  const tab = tabOf(query)
  const chosen = one(query.state) as CaseState | undefined
  const q = one(query.q)
  const all: Record<Tab, CaseState[]> = {
    received: RECEIVED,
    handling: HANDLING,
    correction: ['correction_requested'],
    today: [],
    overdue: [],
    closed: [],
  }
  return {
    q,
    matter_id: one(query.matter),
    state: q ? [] : chosen && STATES[tab].includes(chosen) ? [chosen] : all[tab],
    due: !q && (tab === 'today' || tab === 'overdue') ? tab : undefined,
    open: tab !== 'closed',
    limit: Number(one(query.n)) === 50 ? 50 : 20,
  }
}

const KEY = 'banshi.desk.cases.list'

interface Seen {
  query: LocationQuery
  ids: string[]
}

/** Remember the list that was looked at, so that one can go through it case by case. */
export function remember(seen: Seen): void {
  sessionStorage.setItem(KEY, JSON.stringify(seen))
}

export function lastList(): Seen {
  return JSON.parse(sessionStorage.getItem(KEY) ?? '{"query":{},"ids":[]}') as Seen
}

/** The next case of the list that was looked at last; the first that is left of it after its end. */
export async function nextCase(after: string): Promise<string | null> {
  const { query, ids } = lastList()
  const page = await api.get('/api/desk/cases', { query: { ...askOf(query), limit: 50 } })
  const left = page.items.map((item) => item.id).filter((id) => id !== after)
  const behind = ids.slice(ids.indexOf(after) + 1)
  return behind.find((id) => left.includes(id)) ?? left[0] ?? null
}
