import { deskCases } from '@banshi/words'
import { wordsOf } from '../../language'
import type { DeskCase, TimelineItem } from './types'

const t = wordsOf(deskCases)

/** How long is left, in words: `还剩 3 个工作日`, `今天到期`, `已超期 1 天（自然日）`. */
export function dueWords(of: {
  days_left: number | null
  due_unit?: string | null
  overdue: boolean
  state: string
}): string {
  if (of.days_left === null) return of.state === 'correction_requested' ? t.due.waiting : t.due.none
  const working = of.due_unit === 'working_day' || !of.due_unit
  if (of.days_left === 0) return of.overdue ? t.due.over : t.due.today
  if (of.days_left > 0) return working ? t.due.working(of.days_left) : t.due.natural(of.days_left)
  return working ? t.due.overWorking(-of.days_left) : t.due.overNatural(-of.days_left)
}

export function eventName(item: TimelineItem): string {
  return t.timeline.kinds[item.kind] ?? item.text
}

export function actorName(item: TimelineItem): string {
  return item.actor_name ?? t.timeline.by[item.by] ?? item.by
}

/** Personal data with its middle covered. */
export function masked(what: 'name' | 'id_number' | 'phone', value: string): string {
  if (what === 'name') return value.slice(0, 1) + '*'.repeat(Math.max(1, value.length - 1))
  const [head, tail] = what === 'phone' ? [3, 4] : [3, 2]
  return value.slice(0, head) + '*'.repeat(Math.max(3, value.length - head - tail)) + value.slice(-tail)
}

/** Who handles a case, in one line. */
export function handlerWords(handling: DeskCase['handling']): string {
  if (handling.people.length === 0) return t.list.noPeople
  const names = handling.people.slice(0, 2).join('、') + (handling.people.length > 2 ? '…' : '')
  return handling.unstaffed ? t.list.standIn(names) : names
}
