/** The material slots of one case as a page shows them: pages on the server, pages on their way, undo. */
import { reactive } from 'vue'
import { api, type Schemas } from './api'
import { choosePhotos, keepPhoto } from './outbox-storage'
import { PageQueue, type PageUpload } from './uploads'

export type MaterialPage = Schemas['MaterialPageView']

/** A slot takes this many pages (`backend/domain/cases.py`). */
const MAX_PAGES = 50
const MAX_AT_ONCE = 9
/** Milliseconds in which a removed page can be had back. */
const UNDO_WITHIN = 6000

export class Materials {
  readonly state = reactive({
    slots: {} as Record<string, MaterialPage[]>,
    loaded: false,
    /** The page that was taken out just now and is still there for an undo. */
    removed: null as MaterialPage | null,
    problem: '',
  })
  readonly queue: PageQueue
  private timer: ReturnType<typeof setTimeout> | undefined

  /** `changed` is called after each change on the server. */
  constructor(
    readonly caseId: string,
    private readonly changed: () => void = () => undefined,
  ) {
    this.queue = new PageQueue(caseId, (page, replaced) => this.placed(page, replaced))
  }

  async load(): Promise<void> {
    const found = await api.get('/api/cases/{case_id}/materials', { path: { case_id: this.caseId } })
    this.state.slots = Object.fromEntries(found.items.map((slot) => [slot.key, slot.pages]))
    this.state.loaded = true
    this.queue.resume()
  }

  /** What is seen of a slot: without the page that was taken out. */
  pages(key: string): MaterialPage[] {
    return (this.state.slots[key] ?? []).filter((page) => page.id !== this.state.removed?.id)
  }

  uploads(key: string): PageUpload[] {
    return this.queue.of(key)
  }

  /** How many uploads of this case are not done. */
  get pending(): number {
    return this.queue.state.uploads.length
  }

  async add(key: string, from: 'camera' | 'album'): Promise<void> {
    const room = MAX_PAGES - this.pages(key).length - this.uploads(key).length
    const chosen = await choosePhotos(Math.min(MAX_AT_ONCE, Math.max(1, room)), from)
    if (chosen.length) this.queue.add(key, await Promise.all(chosen.map(keepPhoto)))
  }

  async replace(page: MaterialPage): Promise<void> {
    const [chosen] = await choosePhotos(1)
    if (!chosen) return
    const position = this.pages(page.key).findIndex((one) => one.id === page.id)
    this.queue.add(page.key, [await keepPhoto(chosen)], { pageId: page.id, position: Math.max(0, position) })
  }

  /** Shown at once; where the server has other pages by now, its order is shown again. */
  async move(page: MaterialPage, by: -1 | 1): Promise<void> {
    await this.flush()
    const pages = [...this.pages(page.key)]
    const from = pages.findIndex((one) => one.id === page.id)
    const to = from + by
    if (from < 0 || to < 0 || to >= pages.length) return
    pages.splice(to, 0, ...pages.splice(from, 1))
    this.state.slots[page.key] = pages
    await this.told(async () => {
      const path = { case_id: this.caseId, key: page.key }
      const body = { page_ids: pages.map((one) => one.id) }
      const slot = await api.put('/api/cases/{case_id}/materials/{key}/order', { path, body })
      this.state.slots[page.key] = slot.pages
    })
  }

  remove(page: MaterialPage): void {
    void this.flush()
    this.state.removed = page
    this.timer = setTimeout(() => void this.flush(), UNDO_WITHIN)
  }

  undo(): void {
    clearTimeout(this.timer)
    this.state.removed = null
  }

  /** Take out for good what can no longer be undone. */
  async flush(): Promise<void> {
    clearTimeout(this.timer)
    const page = this.state.removed
    if (!page) return
    this.state.slots[page.key] = this.pages(page.key)
    this.state.removed = null
    await this.told(async () => {
      const path = { case_id: this.caseId, key: page.key, page_id: page.id }
      await api.delete('/api/cases/{case_id}/materials/{key}/pages/{page_id}', { path })
    })
  }

  close(): void {
    void this.flush()
    this.queue.close()
  }

  private placed(page: MaterialPage, replaced: string | null): void {
    const pages = (this.state.slots[page.key] ?? []).filter((one) => one.id !== page.id && one.id !== replaced)
    const at = page.position === null ? pages.length : Math.min(page.position, pages.length)
    pages.splice(at, 0, page)
    this.state.slots[page.key] = pages
    this.changed()
  }

  private async told(work: () => Promise<void>): Promise<void> {
    this.state.problem = ''
    try {
      await work()
      this.changed()
    } catch (error) {
      this.state.problem = error instanceof Error ? error.message : String(error)
      await this.load().catch(() => undefined)
    }
  }
}
