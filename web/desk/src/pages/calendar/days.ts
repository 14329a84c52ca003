import type { Schemas } from '@banshi/api'

export type Notable = Schemas['CalendarDayView']
/** What a day is: an ordinary one, one of the nation's, or one of the district's own. */
export type DayLook = 'work' | 'rest' | 'holiday' | 'shift' | 'closed' | 'opened'

export interface Day {
  /** `2026-10-01`. */
  date: string
  year: number
  month: number
  day: number
  /** 0 is Monday. */
  weekday: number
}

// Days are reckoned in UTC: only their numbers count here, no time of day and no zone.
const at = (date: string): Date => new Date(`${date}T00:00:00Z`)

export function dayOf(date: string): Day {
  const moment = at(date)
  return {
    date,
    year: moment.getUTCFullYear(),
    month: moment.getUTCMonth() + 1,
    day: moment.getUTCDate(),
    weekday: (moment.getUTCDay() + 6) % 7,
  }
}

export function plusDays(date: string, days: number): string {
  return new Date(at(date).getTime() + days * 86_400_000).toISOString().slice(0, 10)
}

/** The same day of another month, or its last one where it is shorter. */
export function plusMonths(date: string, months: number): string {
  const { year, month, day } = dayOf(date)
  const last = new Date(Date.UTC(year, month - 1 + months + 1, 0))
  last.setUTCDate(Math.min(day, last.getUTCDate()))
  return last.toISOString().slice(0, 10)
}

/** The weeks of a month, Monday first; null before its first day and after its last. */
export function weeksOf(year: number, month: number): (Day | null)[][] {
  const first = `${year}-${String(month).padStart(2, '0')}-01`
  const cells: (Day | null)[] = Array<null>(dayOf(first).weekday).fill(null)
  for (let date = first; dayOf(date).month === month; date = plusDays(date, 1)) cells.push(dayOf(date))
  while (cells.length % 7) cells.push(null)
  return Array.from({ length: cells.length / 7 }, (_, week) => cells.slice(week * 7, week * 7 + 7))
}

/** What a day looks like; `notable` is what the calendar says about it, if anything. */
export function lookOf(day: Day, notable: Notable | undefined): DayLook {
  if (notable?.kind) return notable.kind
  if (notable) return notable.is_working ? 'shift' : 'holiday'
  return day.weekday < 5 ? 'work' : 'rest'
}

export function works(look: DayLook): boolean {
  return look === 'work' || look === 'shift' || look === 'opened'
}
