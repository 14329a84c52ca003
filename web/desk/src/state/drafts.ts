import type { Card } from '@banshi/chat'
import { blobStore } from './blobs'
import { session } from './session'

/** What was typed for one consultation and not sent. */
export interface Draft {
  text: string
  note: boolean
  card?: Card
  /** The number of the message that is quoted. */
  replyTo?: number
  /** How many photographs were picked for it; see `readPhotos`. */
  photos?: number
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
  if (draft.text.trim() === '' && !draft.card && !draft.replyTo && !draft.photos) localStorage.removeItem(key(conv))
  else localStorage.setItem(key(conv), JSON.stringify(draft))
}

/** Be told when another tab sent or emptied its draft of a consultation, and of what was in it. Returns how to stop. */
export function onDraftGone(listener: (conv: string, text: string) => void): () => void {
  const start = key('')
  const look = ({ key: changed, newValue, oldValue }: StorageEvent): void => {
    if (!changed?.startsWith(start) || newValue !== null || oldValue === null) return
    listener(changed.slice(start.length), (JSON.parse(oldValue) as Partial<Draft>).text ?? '')
  }
  window.addEventListener('storage', look)
  return () => window.removeEventListener('storage', look)
}

export function hasDraft(conv: string): boolean {
  return localStorage.getItem(key(conv)) !== null
}

function photosKey(conv: string): string {
  return `draft.${session.me?.id}.${conv}`
}

/** The photographs that were picked for one consultation and not sent. */
export async function readPhotos(conv: string): Promise<File[]> {
  const found = await blobStore.get(photosKey(conv)).catch(() => undefined)
  return Array.isArray(found) ? found.filter((one): one is File => one instanceof File) : []
}

/** Keep them through a reload. A browser that has no room for them keeps them while the page is open. */
export function keepPhotos(conv: string, files: File[]): void {
  const key = photosKey(conv)
  void (files.length > 0 ? blobStore.put(key, files) : blobStore.remove(key)).catch(() => undefined)
}
