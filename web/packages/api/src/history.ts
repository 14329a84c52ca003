import type { Schemas } from './types'

export type FoundConsultation = Schemas['FoundConsultationView']
type Snippet = Schemas['SnippetView']
type FoundPage = Schemas['FoundPage']

/** A part of a found text; `hit` where it is what was looked for. */
export interface SnippetPiece {
  text: string
  hit: boolean
}

/** A found text in pieces, to be shown one after the other: as text, never as HTML. Places are UTF-16 code units. */
export function piecesOf(snippet: Snippet): SnippetPiece[] {
  const pieces: SnippetPiece[] = []
  const add = (text: string, hit: boolean): void => {
    if (text) pieces.push({ text, hit })
  }
  let end = 0
  if (snippet.before) add('…', false)
  for (const [from, to] of [...snippet.places].sort((a, b) => a[0] - b[0])) {
    add(snippet.text.slice(end, Math.max(end, from)), false)
    add(snippet.text.slice(Math.max(end, from), to), true)
    end = Math.max(end, to)
  }
  add(snippet.text.slice(end), false)
  if (snippet.after) add('…', false)
  return pieces
}

/** What a page shows of a search in one's own consultations. */
export interface HistoryState {
  /** What the results are of; empty while nothing is looked for. */
  asked: string
  items: FoundConsultation[]
  busy: boolean
  problem: unknown
  /** There is more to look through. */
  more: boolean
  /** All of the last page was looked through; false: the server stopped early, and goes on from there. */
  complete: boolean
  /** The first answer for `asked` has come. */
  begun: boolean
}

export function emptyHistory(): HistoryState {
  return { asked: '', items: [], busy: false, problem: null, more: false, complete: true, begun: false }
}

/** The server answers 60 searches a minute: nobody types 60 words with such a pause after each. */
const PAUSE = 500
const MAX_QUERY = 50

/**
 * Searching while one types: asks after a pause, shows answers to the latest question alone, goes on page by page.
 * `state` may be a reactive object of the page.
 */
export class HistorySearch {
  private timer: ReturnType<typeof setTimeout> | undefined
  private cursor: string | null = null
  private question = 0

  constructor(
    private readonly state: HistoryState,
    private readonly ask: (query: { q: string; cursor?: string }) => Promise<FoundPage>,
    private readonly pause = PAUSE,
  ) {}

  /** What stands in the field now. */
  typed(text: string): void {
    const q = text.trim().slice(0, MAX_QUERY)
    clearTimeout(this.timer)
    if (q === this.state.asked && (this.state.begun || this.state.busy)) return
    this.question += 1
    this.cursor = null
    Object.assign(this.state, emptyHistory(), { asked: q, busy: q !== '' })
    if (q) this.timer = setTimeout(() => void this.read(), this.pause)
  }

  /** Go on with earlier ones, or ask again what failed. */
  async more(): Promise<void> {
    if (!this.state.busy && this.state.asked) await this.read()
  }

  /** The page is left. */
  close(): void {
    clearTimeout(this.timer)
    this.question += 1
  }

  private async read(): Promise<void> {
    const { state } = this
    const mine = (this.question += 1)
    state.busy = true
    state.problem = null
    try {
      const page = await this.ask({ q: state.asked, ...(this.cursor ? { cursor: this.cursor } : {}) })
      if (mine !== this.question) return
      const known = new Set(state.items.map((one) => one.consultation.id))
      state.items = [...state.items, ...page.items.filter((one) => !known.has(one.consultation.id))]
      this.cursor = page.next_cursor ?? null
      state.more = this.cursor !== null
      state.complete = page.complete
      state.begun = true
    } catch (error) {
      if (mine === this.question) state.problem = error
    } finally {
      if (mine === this.question) state.busy = false
    }
  }
}

/** The file name of an answer's `Content-Disposition`, the one in UTF-8 before the plain one. */
export function fileNameOf(disposition: string | null | undefined, otherwise: string): string {
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(disposition ?? '')?.[1]
  try {
    if (encoded) return decodeURIComponent(encoded.trim())
  } catch {
    // not what it says it is
  }
  return /filename="([^"]+)"/i.exec(disposition ?? '')?.[1] ?? otherwise
}
