import { deskChat } from '@banshi/words'
import { language, wordsOf } from './language'

const t = wordsOf(deskChat).time
const ZONE = 'Asia/Shanghai'
const clock = new Intl.DateTimeFormat(language, {
  timeZone: ZONE,
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
})
const dayOfYear = new Intl.DateTimeFormat(language, {
  timeZone: ZONE,
  month: 'short',
  day: 'numeric',
  weekday: 'short',
})
const dayOnly = new Intl.DateTimeFormat(language, { timeZone: ZONE, month: 'numeric', day: 'numeric' })
const withYear = new Intl.DateTimeFormat(language, {
  timeZone: ZONE,
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
})
const stamp = new Intl.DateTimeFormat('en-CA', { timeZone: ZONE })

/** The day in Shanghai, `2026-03-02`, for comparing. */
export function dayKey(at: number | string): string {
  return stamp.format(new Date(at))
}

/** Hours and minutes in Shanghai: `09:05`. */
export function clockTime(at: number | string): string {
  return clock.format(new Date(at))
}

/** A day as a heading: 今天, 昨天, 3月2日 周一, or with its year. */
export function dayName(at: number | string, now: number): string {
  const key = dayKey(at)
  if (key === dayKey(now)) return t.today
  if (key === dayKey(now - 86_400_000)) return t.yesterday
  return key.slice(0, 4) === dayKey(now).slice(0, 4) ? dayOfYear.format(new Date(at)) : withYear.format(new Date(at))
}

/** The shortest words for a moment: the time today, else the day. */
export function shortTime(at: number | string, now: number): string {
  const key = dayKey(at)
  if (key === dayKey(now)) return clockTime(at)
  if (key === dayKey(now - 86_400_000)) return t.yesterday
  return key.slice(0, 4) === dayKey(now).slice(0, 4) ? dayOnly.format(new Date(at)) : withYear.format(new Date(at))
}

/** Day and time of a moment, the day left out when it is today. */
export function fullTime(at: number | string, now: number): string {
  return dayKey(at) === dayKey(now) ? clockTime(at) : `${dayName(at, now)} ${clockTime(at)}`
}

/** How long something has lasted: `8 秒`, `12 分钟`, `3 小时`, `2 天`. */
export function lasting(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  if (seconds < 60) return t.seconds(seconds)
  if (seconds < 3600) return t.minutes(Math.floor(seconds / 60))
  if (seconds < 172_800) return t.hours(Math.floor(seconds / 3600))
  return t.days(Math.floor(seconds / 86_400))
}
