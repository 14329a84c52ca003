import { computed, reactive, watch, type ComputedRef } from 'vue'
import { session } from '../../state/session'
import type { Item } from './types'

export interface Mark {
  verdict: 'ok' | 'fix' | null
  text: string
  /** The pages that were looked at: others make the mark old. */
  pages: string
}

interface Kept {
  marks: Record<string, Mark>
  reason: string
  result: string
}

/** What a clerk noted and typed for one case and has not sent; kept on this computer. */
export interface Review {
  kept: Kept
  mark: (item: Item) => Mark
  set: (item: Item, change: Partial<Mark>) => void
  /** The material was exchanged since it was marked. */
  isOld: (item: Item) => boolean
  toCorrect: ComputedRef<string[]>
  write: (change: { reason?: string; result?: string }) => void
  /** A step was taken: its texts are sent, and with a correction request the marks. */
  sent: (marks: boolean) => void
}

const EMPTY: Mark = { verdict: null, text: '', pages: '' }
const PREFIX = 'banshi.desk.case'
const MOST_KEPT = 200

export function reviewOf(caseId: string): Review {
  const key = `${PREFIX}.${session.me?.id}.${caseId}`
  const kept = reactive<Kept>(read(key))
  watch(
    kept,
    () => {
      const used = kept.reason || kept.result || Object.values(kept.marks).some((mark) => mark.verdict || mark.text)
      if (used) localStorage.setItem(key, JSON.stringify(kept))
      else localStorage.removeItem(key)
    },
    { flush: 'sync' },
  )
  forgetOldest()

  const mark = (item: Item): Mark => kept.marks[item.key] ?? EMPTY
  const isOld = (item: Item): boolean => {
    const known = kept.marks[item.key]
    return !!known?.verdict && known.pages !== item.pages.join()
  }
  return {
    kept,
    mark,
    isOld,
    set(item, change) {
      kept.marks[item.key] = { ...mark(item), ...change, pages: item.pages.join() }
    },
    toCorrect: computed(() => Object.keys(kept.marks).filter((name) => kept.marks[name]!.verdict === 'fix')),
    write(change) {
      Object.assign(kept, change)
    },
    sent(marks) {
      Object.assign(kept, { reason: '', result: '', ...(marks ? { marks: {} } : {}) })
    },
  }
}

function read(key: string): Kept {
  const empty = { marks: {}, reason: '', result: '' }
  try {
    return { ...empty, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Kept>) }
  } catch {
    return empty
  }
}

/** Notes of cases that were never finished here do not fill the computer. */
function forgetOldest(): void {
  const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX))
  for (const name of names.slice(0, Math.max(0, names.length - MOST_KEPT))) localStorage.removeItem(name)
}
