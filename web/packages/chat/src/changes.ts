/** Who is to know of a change, once for all changes of one moment. */
import type { Change } from './types'

type Listener = (change: Change) => void

export class Changes {
  private readonly listeners = new Set<Listener>()
  private convs = new Set<string>()
  private status = false
  private due = false

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  /** A consultation changed; without one, the status. */
  note(conv?: string): void {
    if (conv === undefined) this.status = true
    else this.convs.add(conv)
    if (this.due) return
    this.due = true
    void Promise.resolve().then(() => this.tell())
  }

  private tell(): void {
    const change: Change = { convs: this.convs, status: this.status }
    this.due = this.status = false
    this.convs = new Set()
    for (const listener of [...this.listeners]) listener(change)
  }
}
