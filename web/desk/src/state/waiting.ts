import type { Consultation, ConversationView } from '@banshi/chat'
import { computed } from 'vue'
import { conversations } from './chat'
import { session } from './session'

export type Tab = 'mine' | 'waiting' | 'department' | 'closed'

/** Where a consultation stands for the person at this desk. */
export function tabOf(header: Consultation): Tab {
  if (header.state === 'closed') return 'closed'
  const mine = header.staff?.id === session.me?.id
  if (header.state === 'offered') return mine ? 'waiting' : 'department'
  if (header.state === 'active') return mine ? 'mine' : 'department'
  if (mine) return 'mine'
  const posts = session.me?.post_ids ?? []
  const forMe = header.post_id !== null && posts.includes(header.post_id)
  return forMe || header.department_id === session.me?.department_id || header.post_id === null
    ? 'waiting'
    : 'department'
}

/** Since when the citizen waits for an answer, in milliseconds; null when nobody waits. */
export function waitsSince(header: Consultation): number | null {
  if (header.state === 'closed') return null
  return header.waiting_since ? Date.parse(header.waiting_since) : null
}

/** A promised time that has passed. */
export function isLate(header: Consultation, at: number): boolean {
  return header.promised_at !== null && header.state !== 'closed' && Date.parse(header.promised_at) < at
}

/** Overdue promises first, then who waits longest, then the latest. */
export function compare(at: number): (a: ConversationView, b: ConversationView) => number {
  return (a, b) => {
    if (!a.header || !b.header) return a.header ? -1 : 1
    const late = Number(isLate(b.header, at)) - Number(isLate(a.header, at))
    if (late) return late
    const since = (header: Consultation): number => waitsSince(header) ?? Infinity
    const waits = since(a.header) - since(b.header)
    if (waits && !Number.isNaN(waits)) return waits
    return a.at < b.at ? 1 : a.at > b.at ? -1 : 0
  }
}

/** Consultations of one tab that came here by themselves. */
export function inTab(tab: Tab): ConversationView[] {
  return conversations.value.filter((view) => view.header !== undefined && tabOf(view.header) === tab)
}

/** What waits for an answer of mine: unread ones of my own, and all that nobody has taken. */
export const waitingForMe = computed(() =>
  conversations.value.filter((view) => {
    if (!view.header) return false
    const tab = tabOf(view.header)
    return tab === 'waiting' || (tab === 'mine' && (view.unread > 0 || waitsSince(view.header) !== null))
  }),
)

/** The number beside the section and in the title. */
export const unreadCount = computed(
  () => inTab('mine').reduce((sum, view) => sum + view.unread, 0) + inTab('waiting').length,
)
