/**
 * Things on their way. Each consultation's go one after the other, each with the same `cid` until there is a
 * definite answer; one that is refused for good stays as failed and holds up nothing behind it.
 *
 * Every durable thing has a key of its own in the storage, so that several tabs of one person never write over
 * each other. A new tab, and every tab that comes online, takes up all that is stored. Two tabs may then send the
 * same thing: the server knows it by its `cid`, and since each tab waits for an answer before the next thing,
 * the order stays too.
 */
import type { Clock } from './clock'
import { LOST } from './connection'
import { firstMessageCid } from './ids'
import { ChatProblem, isTransient, LOCAL_PROBLEMS, problemOf, type Problem } from './problem'
import type { Ack, Committed, Content } from './protocol'
import type { ChatStorage } from './storage'
import type { PendingPhoto, Sending } from './types'
import type { Uploader } from './uploader'

export type EntryKind = 'open' | 'message' | 'note' | 'edit' | 'recall' | 'action'

export interface Entry {
  cid: string
  kind: EntryKind
  /** A consultation's id, or `new:<cid of its opening>`. */
  conv: string
  /** Milliseconds of the device's clock when it was typed, then a counter: the order of sending. */
  order: [number, number]
  event: string
  /** The event's members beside `conv`, `cid` and what `body` becomes. */
  payload: Record<string, unknown>
  body?: Content
  photos?: PendingPhoto[]
  problem?: Problem
}

export function byOrder(a: Entry, b: Entry): number {
  return a.order[0] - b.order[0] || a.order[1] - b.order[1] || (a.cid < b.cid ? -1 : 1)
}

export class OutboxStore {
  constructor(
    private readonly storage: ChatStorage,
    private readonly prefix: string,
  ) {}

  async put(entry: Entry): Promise<void> {
    await this.storage.set(this.prefix + entry.cid, JSON.stringify(entry))
  }

  async remove(cid: string): Promise<void> {
    await this.storage.remove(this.prefix + cid)
  }

  /** All that is stored, in the order in which it was typed. What cannot be read is left alone. */
  async all(): Promise<Entry[]> {
    const found: Entry[] = []
    for (const key of await this.storage.keys(this.prefix)) {
      const text = await this.storage.get(key)
      if (!text) continue
      try {
        found.push(JSON.parse(text) as Entry)
      } catch {
        continue
      }
    }
    return found.sort(byOrder)
  }
}

/** The cid by which the log shows that an entry is there with all it said. */
export function settledBy(entry: Entry): string {
  return entry.kind === 'open' && entry.body ? firstMessageCid(entry.cid) : entry.cid
}

export interface OutboxHooks {
  ask(event: string, payload: unknown): Promise<Ack | typeof LOST>
  online(): boolean
  changed(conv: string): void
  /** An opening was committed: from now on `conv` is its consultation. */
  opened(local: string, conv: string, answer: Committed): void
  acknowledged(entry: Entry, answer: Committed): void
  /** A definite refusal of an edit or a recall, which has no bubble to say so. */
  refused(entry: Entry, problem: Problem): void
  storageFailed(error: unknown): void
}

export interface OutboxOptions {
  store: OutboxStore
  uploader: Uploader
  clock: Clock
  random: () => number
  pauses: readonly [number, number]
}

interface Deferred {
  resolve(answer: Committed): void
  reject(error: ChatProblem): void
}

export class Outbox {
  readonly entries = new Map<string, Entry>()
  private acked = new Map<string, Committed>()
  private settled = new Map<string, string[]>()
  private deferred = new Map<string, Deferred>()
  private stored = new Map<string, Promise<void>>()
  private pumping = new Set<string>()
  private pauses = new Set<() => void>()
  private writes: Promise<void> = Promise.resolve()
  private count = 0
  private latest = 0
  private stopped = false

  constructor(
    private readonly options: OutboxOptions,
    private readonly hooks: OutboxHooks,
  ) {}

  /** Entries of one consultation that are to be shown, in the order in which they were typed. */
  of(conv: string): Entry[] {
    return [...this.entries.values()].filter((entry) => entry.conv === conv).sort(byOrder)
  }

  isAcknowledged(cid: string): boolean {
    return this.acked.has(cid)
  }

  /** The highest number that was acknowledged here and is not in the log yet. */
  acknowledgedSeq(conv: string): number {
    return Math.max(0, ...this.of(conv).map((entry) => this.acked.get(entry.cid)?.seq ?? 0))
  }

  /** Later than all before, also where the device's clock was put back in between. */
  nextOrder(): [number, number] {
    this.latest = Math.max(this.latest, this.options.clock.now())
    return [this.latest, this.count++]
  }

  /** Take a thing up and send it. Actions are not stored: a decision on a state makes no sense after a reload. */
  add(entry: Entry): Sending {
    const done = new Promise<Committed>((resolve, reject) => this.deferred.set(entry.cid, { resolve, reject }))
    done.catch(() => undefined)
    this.entries.set(entry.cid, entry)
    const stored = entry.kind === 'action' ? Promise.resolve() : this.write(entry)
    this.stored.set(entry.cid, stored)
    this.hooks.changed(entry.conv)
    void this.pump(entry.conv)
    return { cid: entry.cid, conv: entry.conv, stored, done }
  }

  /** Take up what is stored, by an earlier page or another tab. `known` are cids that the logs hold. */
  async adopt(known: (conv: string, cid: string) => boolean): Promise<void> {
    for (const entry of await this.options.store.all()) {
      if (this.entries.has(entry.cid)) continue
      if (known(entry.conv, settledBy(entry))) {
        this.release([entry])
        continue
      }
      this.entries.set(entry.cid, entry)
      this.latest = Math.max(this.latest, entry.order[0] + 1)
      this.hooks.changed(entry.conv)
    }
    this.pumpAll()
  }

  pumpAll(): void {
    for (const wake of [...this.pauses]) wake()
    for (const conv of new Set([...this.entries.values()].map((entry) => entry.conv))) void this.pump(conv)
  }

  /** The log has an own operation. */
  merge(conv: string, cid: string, answer: Committed): void {
    const direct = this.entries.get(cid)
    if (direct?.kind === 'open' && direct.conv !== conv) this.opened(direct, answer)
    for (const entry of this.entries.values()) {
      if (settledBy(entry) !== cid || entry.conv !== conv) continue
      this.entries.delete(entry.cid)
      this.resolve(entry, answer)
      this.acked.delete(entry.cid)
      this.settled.set(conv, [...(this.settled.get(conv) ?? []), entry.cid])
      this.dropBytes(entry)
    }
  }

  /** The log is stored as well: what it settled need not be kept any more. */
  logStored(conv: string): void {
    const cids = this.settled.get(conv) ?? []
    this.settled.delete(conv)
    for (const cid of cids) this.enqueue(() => this.options.store.remove(cid))
  }

  retry(cid: string): void {
    const entry = this.entries.get(cid)
    if (!entry?.problem) return
    delete entry.problem
    entry.order = this.nextOrder()
    void this.write(entry).catch(() => undefined)
    this.hooks.changed(entry.conv)
    void this.pump(entry.conv)
  }

  discard(cid: string): void {
    const entry = this.entries.get(cid)
    if (!entry?.problem) return
    // what was typed after an opening that failed goes with it: it has nowhere to go
    const all = entry.kind === 'open' ? this.of(entry.conv) : [entry]
    for (const gone of all) this.remove(gone, new ChatProblem(LOCAL_PROBLEMS.discarded))
    this.hooks.changed(entry.conv)
  }

  /** The consultation is not this person's any more: what was committed is done, the rest the server refuses. */
  left(conv: string): void {
    for (const entry of this.of(conv)) {
      if (this.acked.has(entry.cid)) this.remove(entry, new ChatProblem(LOCAL_PROBLEMS.discarded))
    }
  }

  stop(): void {
    this.stopped = true
    for (const wake of [...this.pauses]) wake()
    for (const waiting of this.deferred.values()) waiting.reject(new ChatProblem(LOCAL_PROBLEMS.stopped))
    this.deferred.clear()
    this.options.uploader.stop()
  }

  /** Resolves when everything written so far is stored, or failed to be. */
  async flushed(): Promise<void> {
    await this.writes
  }

  // --- sending ---------------------------------------------------------------------------------

  private next(conv: string): Entry | undefined {
    const all = this.of(conv)
    if (conv.startsWith('new:')) {
      const opening = all.find((entry) => entry.kind === 'open')
      return opening && !opening.problem && !this.acked.has(opening.cid) ? opening : undefined
    }
    return all.find((entry) => !entry.problem && !this.acked.has(entry.cid))
  }

  private async pump(conv: string): Promise<void> {
    if (this.pumping.has(conv)) return
    this.pumping.add(conv)
    try {
      for (let entry = this.next(conv); entry && !this.stopped; entry = this.next(conv)) {
        if (!(await this.deliver(entry))) break
      }
    } finally {
      this.pumping.delete(conv)
    }
  }

  /** Whether there is a definite answer; false: it is tried again when the connection is back. */
  private async deliver(entry: Entry): Promise<boolean> {
    await this.stored.get(entry.cid)?.catch(() => undefined)
    if (!(await this.uploaded(entry))) return !this.stopped
    while (this.hooks.online() && !this.stopped) {
      const answer = await this.hooks.ask(entry.event, this.packet(entry))
      if (!this.entries.has(entry.cid)) return true // the log said so first
      if (answer === LOST) continue
      if (answer.ok) {
        this.acknowledge(entry, answer as unknown as Committed)
        return true
      }
      if (!answer.retry) {
        this.fail(entry, answer.problem)
        return true
      }
      await this.pause(answer.after_ms ?? 1_000)
    }
    return false
  }

  private packet(entry: Entry): Record<string, unknown> {
    const found: Record<string, unknown> = { cid: entry.cid, ...entry.payload }
    if (entry.kind !== 'open') found.conv = entry.conv
    if (entry.kind === 'note') Object.assign(found, entry.body)
    else if (entry.body) found.body = entry.body
    return found
  }

  /** Whether the photographs of an entry are there, after as many attempts as it takes. */
  private async uploaded(entry: Entry): Promise<boolean> {
    const [first, longest] = this.options.pauses
    let wait = first
    for (const photo of entry.photos ?? []) {
      while (!photo.uploaded) {
        if (this.stopped || entry.problem) return false
        try {
          await this.options.uploader.upload(photo, () => this.hooks.changed(entry.conv))
          void this.write(entry).catch(() => undefined)
          wait = first
        } catch (error) {
          if (this.stopped) return false
          const problem = problemOf(error)
          if (problem && !isTransient(error)) {
            this.fail(entry, problem)
            return false
          }
          await this.pause(wait * (0.5 + this.options.random() / 2))
          wait = Math.min(longest, wait * 2)
        }
      }
    }
    return true
  }

  private acknowledge(entry: Entry, answer: Committed): void {
    this.resolve(entry, answer)
    if (entry.kind === 'action') this.remove(entry)
    else this.acked.set(entry.cid, answer)
    if (entry.kind === 'open') this.opened(entry, answer)
    this.hooks.acknowledged(entry, answer)
    this.hooks.changed(entry.conv)
  }

  private opened(opening: Entry, answer: Committed): void {
    const local = opening.conv
    if (local === answer.conv) return
    for (const entry of this.of(local)) {
      entry.conv = answer.conv
      if (entry.kind !== 'action') void this.write(entry).catch(() => undefined)
    }
    this.acked.set(opening.cid, answer)
    this.hooks.opened(local, answer.conv, answer)
    void this.pump(answer.conv)
  }

  private fail(entry: Entry, problem: Problem): void {
    const waiting = this.deferred.get(entry.cid)
    this.deferred.delete(entry.cid)
    waiting?.reject(new ChatProblem(problem))
    if (entry.kind === 'action' || entry.kind === 'edit' || entry.kind === 'recall') {
      if (entry.kind !== 'action') this.hooks.refused(entry, problem)
      this.remove(entry)
    } else {
      entry.problem = problem
      // bytes that are not here may be in another tab: that failure is this page's alone
      if (problem.code !== LOCAL_PROBLEMS.photoGone.code) void this.write(entry).catch(() => undefined)
    }
    this.hooks.changed(entry.conv)
  }

  private resolve(entry: Entry, answer: Committed): void {
    this.deferred.get(entry.cid)?.resolve(answer)
    this.deferred.delete(entry.cid)
  }

  private remove(entry: Entry, error?: ChatProblem): void {
    this.entries.delete(entry.cid)
    this.acked.delete(entry.cid)
    if (error) this.deferred.get(entry.cid)?.reject(error)
    this.deferred.delete(entry.cid)
    if (entry.kind !== 'action') this.release([entry])
  }

  private release(entries: Entry[]): void {
    for (const entry of entries) {
      this.enqueue(() => this.options.store.remove(entry.cid))
      this.dropBytes(entry)
    }
  }

  private dropBytes(entry: Entry): void {
    this.stored.delete(entry.cid)
    for (const photo of entry.photos ?? []) void this.options.uploader.forget(photo.ref)
  }

  private write(entry: Entry): Promise<void> {
    return this.enqueue(async () => {
      if (this.entries.get(entry.cid) === entry) await this.options.store.put(entry)
    })
  }

  /** One write after the other, so that the last one wins; the answer is that of this one. */
  private enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.writes.then(work)
    this.writes = done.catch((error: unknown) => this.hooks.storageFailed(error))
    return done
  }

  private pause(after: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.options.clock.clearTimeout(timer)
        this.pauses.delete(wake)
        resolve()
      }
      const timer = this.options.clock.setTimeout(wake, after)
      this.pauses.add(wake)
    })
  }
}
