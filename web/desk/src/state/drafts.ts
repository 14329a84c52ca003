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

/** A change of an own message that is under way; it is kept beside the draft, which waits until it is done. */
export interface Correction {
  /** The number of the message. */
  seq: number
  /** What the message says so far. */
  before: string
  text: string
}

type Kind = 'draft' | 'correction'

function key(conv: string, kind: Kind = 'draft'): string {
  return `banshi.desk.${kind}.${session.me?.id}.${conv}`
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

/** The changes that are under way in a consultation; the last one is in hand, the others wait until it is done. */
export function readCorrections(conv: string): Correction[] {
  return correctionsIn(localStorage.getItem(key(conv, 'correction')))
}

function correctionsIn(stored: string | null): Correction[] {
  try {
    return [JSON.parse(stored ?? '[]') as Correction | Correction[]].flat()
  } catch {
    return []
  }
}

/** Keep it as the one in hand, or forget it where nothing was changed yet. */
export function keepCorrection(conv: string, correction: Correction): void {
  const others = readCorrections(conv).filter(({ seq }) => seq !== correction.seq)
  writeCorrections(conv, correction.text === correction.before ? others : [...others, correction])
}

/** It is done, or given up. */
export function dropCorrection(conv: string, seq: number): void {
  writeCorrections(
    conv,
    readCorrections(conv).filter((one) => one.seq !== seq),
  )
}

function writeCorrections(conv: string, corrections: Correction[]): void {
  const kept = key(conv, 'correction')
  if (corrections.length === 0) localStorage.removeItem(kept)
  else localStorage.setItem(kept, JSON.stringify(corrections))
}

/** Be told when another tab sent or emptied what it kept of a consultation, and of what was in it. Returns how to stop. */
export function onGone(kind: Kind, listener: (conv: string, text: string) => void): () => void {
  const start = key('', kind)
  const look = ({ key: changed, newValue, oldValue }: StorageEvent): void => {
    if (!changed?.startsWith(start) || oldValue === null) return
    const conv = changed.slice(start.length)
    if (kind === 'draft') {
      if (newValue === null) listener(conv, (JSON.parse(oldValue) as Partial<Draft>).text ?? '')
      return
    }
    const left = correctionsIn(newValue).map(({ seq }) => seq)
    for (const { seq, text } of correctionsIn(oldValue)) if (!left.includes(seq)) listener(conv, text)
  }
  window.addEventListener('storage', look)
  return () => window.removeEventListener('storage', look)
}

export function hasDraft(conv: string): boolean {
  return [key(conv), key(conv, 'correction')].some((kept) => localStorage.getItem(kept) !== null)
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
