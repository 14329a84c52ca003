import type { Card } from '@banshi/chat'
import { session } from './session'

/** What was typed for one consultation and not sent. */
export interface Draft {
  text: string
  note: boolean
  card?: Card
  /** The number of the message that is quoted. */
  replyTo?: number
}

function key(conv: string): string {
  return `banshi.desk.draft.${session.me?.id}.${conv}`
}

export function readDraft(conv: string): Draft {
  const empty: Draft = { text: '', note: false }
  try {
    return { ...empty, ...(JSON.parse(localStorage.getItem(key(conv)) ?? '{}') as Partial<Draft>) }
  } catch {
    return empty
  }
}

export function keepDraft(conv: string, draft: Draft): void {
  if (draft.text.trim() === '' && !draft.card && !draft.replyTo) localStorage.removeItem(key(conv))
  else localStorage.setItem(key(conv), JSON.stringify(draft))
}

export function hasDraft(conv: string): boolean {
  return localStorage.getItem(key(conv)) !== null
}
