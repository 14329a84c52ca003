import type { Schemas } from '@banshi/api'
import { session } from '../../state/session'

export type Announcement = Schemas['DeskAnnouncementView']

export const STATE_KINDS: Record<string, 'success' | 'warning' | 'info' | 'primary'> = {
  draft: 'info',
  scheduled: 'primary',
  published: 'success',
  ended: 'info',
}

/** What stands in the form: moments as the browser's own field writes them, in the time of Shanghai. */
export interface Form {
  title: string
  text: string
  level: Schemas['AnnouncementLevel']
  department: string
  start: 'draft' | 'now' | 'later'
  from: string
  end: 'open' | 'day'
  until: string
}

/** `2026-03-05T09:00` in Shanghai, for a field; empty for none. */
export function localMoment(at: string | null): string {
  if (!at) return ''
  const shanghai = new Date(Date.parse(at) + 8 * 3_600_000)
  return shanghai.toISOString().slice(0, 16)
}

/** What a field says as a moment. */
export function momentOf(local: string): string {
  return `${local}:00+08:00`
}

export function formOf(item: Announcement | null): Form {
  return {
    title: item?.title ?? '',
    text: item?.text ?? '',
    level: item?.level ?? 'notice',
    department: item?.department_id ?? '',
    start: !item || !item.publish_from ? 'draft' : 'later',
    from: localMoment(item?.publish_from ?? null),
    end: item?.publish_until ? 'day' : 'open',
    until: localMoment(item?.publish_until ?? null),
  }
}

function key(id: string): string {
  return `banshi.desk.announcement.${session.me?.id}.${id}`
}

/** What was written in a form and not saved, and the version it began from. */
export interface Kept {
  version: number
  form: Form
}

export function readKept(id: string): Kept | null {
  try {
    return JSON.parse(localStorage.getItem(key(id)) ?? 'null') as Kept | null
  } catch {
    return null
  }
}

export function keep(id: string, kept: Kept | null): void {
  if (kept) localStorage.setItem(key(id), JSON.stringify(kept))
  else localStorage.removeItem(key(id))
}
