import { rightNow } from './clock'
import { language } from './language'

/** Moments are shown in the district's time whatever the phone's: UTC+8, no summer time since 1992. */
const EAST_8_MS = 8 * 3600 * 1000
const DAY_MS = 24 * 3600 * 1000

interface Parts {
  year: number
  month: number
  day: number
  hour: number
  minute: number
  serial: number
}

function parts(ms: number): Parts {
  const there = new Date(ms + EAST_8_MS)
  return {
    year: there.getUTCFullYear(),
    month: there.getUTCMonth() + 1,
    day: there.getUTCDate(),
    hour: there.getUTCHours(),
    minute: there.getUTCMinutes(),
    serial: Math.floor((ms + EAST_8_MS) / DAY_MS),
  }
}

const two = (n: number) => String(n).padStart(2, '0')
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

function dayOf(at: Parts, withYear: boolean): string {
  if (language.value === 'en') return `${at.day} ${MONTHS[at.month - 1]}${withYear ? ` ${at.year}` : ''}`
  return `${withYear ? `${at.year}年` : ''}${at.month}月${at.day}日`
}

/** A day: `3月2日`, with the year where it is another one. Takes a date (`2026-03-02`) or a moment. */
export function day(text: string, now: number = rightNow()): string {
  const at = parts(Date.parse(text.length === 10 ? `${text}T00:00:00+08:00` : text))
  return dayOf(at, at.year !== parts(now).year)
}

/** A day with its year, for what holds from then on. */
export function fullDay(text: string): string {
  return dayOf(parts(Date.parse(text.length === 10 ? `${text}T00:00:00+08:00` : text)), true)
}

/** `10:30` */
export function time(text: string): string {
  const at = parts(Date.parse(text))
  return `${two(at.hour)}:${two(at.minute)}`
}

/** A moment as one says it: `今天 10:30`, `昨天 16:05`, `3月2日 09:00`, `2025年3月2日`. */
export function moment(text: string, now: number = rightNow()): string {
  const at = parts(Date.parse(text))
  const today = parts(now)
  const clock = `${two(at.hour)}:${two(at.minute)}`
  const english = language.value === 'en'
  const days = today.serial - at.serial
  if (days === 0) return `${english ? 'Today' : '今天'} ${clock}`
  if (days === 1) return `${english ? 'Yesterday' : '昨天'} ${clock}`
  if (days === -1) return `${english ? 'Tomorrow' : '明天'} ${clock}`
  if (at.year !== today.year) return dayOf(at, true)
  return `${dayOf(at, false)} ${clock}`
}

/** A moment that is read on another day too, as on a receipt: `2026年3月2日 10:30`. */
export function fullMoment(text: string): string {
  return `${fullDay(text)} ${time(text)}`
}

/** The district's day of the moment: `2026-03-02`. */
export function today(now: number = rightNow()): string {
  const at = parts(now)
  return `${at.year}-${two(at.month)}-${two(at.day)}`
}
