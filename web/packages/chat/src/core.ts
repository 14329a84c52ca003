/** What goes on under the client: what is heard, fetched, kept and told, and who is to know of a change. */
import { Changes } from './changes'
import { systemClock, type Clock, type TimerHandle } from './clock'
import { Connection, LOST } from './connection'
import { Conversation, latestFirst, LogStore } from './conversations'
import { Outbox, OutboxStore, type Entry } from './outbox'
import { ChatProblem, LOCAL_PROBLEMS } from './problem'
import * as p from './protocol'
import { tellReceipts } from './receipts'
import type * as t from './types'
import { Uploader } from './uploader'

/** Milliseconds: receipts are gathered, logs are stored, an acknowledged operation is fetched if it did not come. */
const RECEIPTS_AFTER = 200
const SAVE_AFTER = 300
const FETCH_AFTER = 2_000

export abstract class ChatCore {
  protected readonly options: t.ChatOptions
  protected readonly clock: Clock
  protected readonly me: p.Party
  protected readonly side: 'citizen' | 'staff'
  protected readonly conversations = new Map<string, Conversation>()
  protected readonly aliases = new Map<string, string>()
  protected readonly connection: Connection
  protected readonly outbox: Outbox
  protected readonly uploader: Uploader
  protected readonly logs: LogStore
  private readonly changes = new Changes()
  protected readonly fetching = new Set<string>()
  protected readonly followed = new Set<string>()
  protected readonly typed = new Map<string, number>()
  protected readonly timers = new Map<string, TimerHandle>()
  private loaded: Promise<void> | undefined
  private stopped = false
  private readonly waiting: (() => void)[] = []
  private saving: Promise<void> = Promise.resolve()

  constructor(options: t.ChatOptions) {
    const { me, namespace, storage } = options
    this.options = options
    this.clock = options.clock ?? systemClock
    const kind = (this.side = namespace === '/citizen' ? 'citizen' : 'staff')
    this.me = { kind, id: me.id, name: me.name }
    const prefix = `${options.prefix ?? 'banshi-chat'}:${kind}:${me.id}`
    const random = options.random ?? Math.random
    const pauses = options.pauses ?? [1_000, 30_000]
    this.logs = new LogStore(storage, `${prefix}:log:`, options.keepLogs ?? 30)
    this.uploader = new Uploader(options.upload, options.blobStore)
    this.outbox = new Outbox(
      { store: new OutboxStore(storage, `${prefix}:out:`), uploader: this.uploader, clock: this.clock, random, pauses },
      {
        ask: (event, payload) => this.connection.ask(event, payload),
        online: () => this.connection.status.online,
        changed: (conv) => this.changed(conv),
        opened: (local, conv, answer) => this.opened(local, conv, answer),
        acknowledged: (entry, answer) => this.acknowledged(entry, answer),
        refused: ({ conv, kind, payload }, problem) => {
          try {
            options.onRefused?.({
              conv,
              kind: kind as 'edit' | 'recall',
              targetSeq: Number(payload.target_seq),
              text: kind === 'edit' ? String(payload.text) : undefined,
              problem,
            })
          } catch (error) {
            console.error(error) // what is behind it in the outbox goes on
          }
        },
        storageFailed: () => {
          this.connection.status.storageFailing = true
          this.changed()
        },
      },
    )
    this.connection = new Connection(
      {
        namespace,
        device: options.device ?? '',
        getTicket: options.getTicket,
        transport: options.transport,
        clock: this.clock,
        random,
        pauses,
        answerTimeout: options.answerTimeout ?? p.ANSWER_TIMEOUT,
        beatEvery: options.beatEvery ?? p.BEAT_EVERY,
      },
      {
        cursors: () => this.cursors(),
        greeted: (answer) => this.greeted(answer),
        online: () => this.online(),
        offline: () => this.offline(),
        event: (name, data) => this.heard(name, data),
        ended: (problem) => options.onSessionEnded?.(problem),
        changed: () => this.changed(),
        beat: () => this.positions(),
        beaten: (answer) => this.beaten(answer),
      },
    )
  }

  // --- life ------------------------------------------------------------------------------------

  /** A copy of how the connection stands. */
  get status(): t.Status {
    return { ...this.connection.status }
  }

  /** Read what is kept on the device (history shows at once), then connect and stay connected. */
  async start(): Promise<void> {
    await (this.loaded ??= this.load())
    if (!this.stopped) this.connection.start()
  }

  /** Disconnect for good and write what is to be kept. What was not sent stays for the next time. */
  async stop(): Promise<void> {
    this.stopped = true
    this.connection.stop()
    this.outbox.stop()
    for (const waiting of this.waiting.splice(0)) waiting()
    for (const timer of this.timers.values()) this.clock.clearTimeout(timer)
    this.timers.clear()
    await this.save()
    await this.outbox.flushed()
  }

  /** The network or the app is back: connect at once, or make sure the connection lives. */
  wake(): void {
    this.connection.wake()
    this.outbox.pumpAll()
  }

  /** The app goes to the background (mini-programs have no network there). */
  sleep(): void {
    this.connection.sleep()
  }

  /** Be told once for each batch of changes; answers how to stop that. */
  subscribe(listener: (change: t.Change) => void): () => void {
    return this.changes.subscribe(listener)
  }

  /** The id of a consultation that was opened here as `new:…`. */
  resolve(conv: string): string {
    return this.aliases.get(conv) ?? conv
  }

  // --- the connection --------------------------------------------------------------------------

  private cursors(): Record<string, [number, number]> {
    const named = this.latest().slice(0, p.MAX_CURSORS)
    return Object.fromEntries(named.map(({ conv, log }) => [conv, [log.epoch, log.seq]]))
  }

  private greeted(answer: p.HelloAnswer): void {
    for (const entry of answer.convs) {
      const known = this.know(entry.conv)
      if (entry.epoch !== known.log.epoch || known.log.seq > entry.last_seq) known.restart(entry.epoch)
      known.joined ||= entry.joined
      known.meet(entry.consultation)
      this.changed(entry.conv)
      if (entry.joined) this.receiptsOf(known)
    }
    for (const conv of answer.gone) this.forget(conv)
  }

  private online(): void {
    void this.outbox.adopt((conv, cid) => this.holds(conv, cid))
    this.receiptsSoon()
    for (const waiting of this.waiting.splice(0)) waiting()
  }

  private offline(): void {
    for (const known of this.conversations.values()) known.joined = false
    this.changed()
  }

  private positions(): Record<string, number> {
    const named = this.latest().filter(({ joined }) => joined)
    return Object.fromEntries(named.slice(0, p.MAX_CURSORS).map(({ conv, log }) => [conv, log.seq]))
  }

  private latest(): Conversation[] {
    return latestFirst(this.conversations.values(), this.followed)
  }

  private beaten(answer: { ahead: Record<string, number>; left: string[] }): void {
    for (const [conv, seq] of Object.entries(answer.ahead)) {
      if (seq > this.know(conv).log.seq) void this.fetch(conv) // it may have come meanwhile
    }
    const again: Record<string, [number, number]> = {}
    for (const conv of answer.left) {
      const known = this.conversations.get(conv)
      if (known) again[conv] = [known.log.epoch, known.log.seq]
    }
    if (answer.left.length > 0) void this.connection.greet(again, false).catch(() => undefined)
  }

  private heard(name: string, data: unknown): void {
    if (name === 'op') this.take(data as p.Operation)
    else if (name === 'conv') {
      const { joined, ...header } = data as p.Consultation & { joined: boolean }
      const known = this.know(header.id)
      known.joined ||= joined
      known.meet(header)
      this.changed(header.id)
    } else if (name === 'conv:left') {
      this.forget((data as { conv: string }).conv)
    } else if (name === 'rcpt') {
      const { conv, ...receipt } = data as p.Receipt & { conv: string }
      this.received(this.know(conv), receipt)
    } else if (name === 'typing') {
      this.types(data as { conv: string; who: 'citizen' | 'staff' })
    }
  }

  // --- operations ------------------------------------------------------------------------------

  private take(op: p.Operation): void {
    const known = this.know(op.conv)
    for (const each of known.add(op)) this.applied(known, each)
    this.changed(op.conv)
    if (known.log.gap) void this.fetch(op.conv)
  }

  private applied(known: Conversation, op: p.Operation): void {
    const { conv } = known
    if (op.from?.kind === this.me.kind && op.from.id === this.me.id && op.cid && op.id && op.ts) {
      const ver = known.header?.version ?? op.seq
      const state = known.header?.state ?? 'queued'
      const { id, epoch, seq, ts } = op
      this.outbox.merge(conv, op.cid, { conv, id, epoch, seq, ts, ver, state, dup: true })
    } else if (op.kind === 'message') {
      known.typing = null
    }
    known.at = this.clock.now()
    this.logs.touch(conv)
    this.soon('save', SAVE_AFTER, () => void this.save())
    this.receiptsSoon()
  }

  /** Something is missing: get it from the log. */
  private async fetch(conv: string): Promise<void> {
    if (this.fetching.has(conv)) return
    this.fetching.add(conv)
    try {
      for (let more = true; more && this.connection.status.online; ) {
        const { log } = this.know(conv)
        const answer = await this.connection.ask('ops:get', { conv, epoch: log.epoch, after: log.seq })
        if (answer === LOST) continue
        if (!answer.ok) {
          if (!answer.retry) return
          await this.wait(answer.after_ms ?? 1_000)
          continue
        }
        const found = answer as unknown as p.OpsAnswer
        if (!found.recovered) this.know(conv).restart(found.epoch)
        for (const op of found.ops) this.take(op)
        // what is missing may have been said after the answer was
        const lacking = found.more || this.know(conv).log.gap
        more = !found.recovered || (lacking && found.ops.length > 0)
      }
    } finally {
      this.fetching.delete(conv)
    }
  }

  private acknowledged(entry: Entry, answer: p.Committed): void {
    if (entry.kind === 'action') return
    // the operation comes as an event; should it not, it is fetched
    this.soon(`fetch:${answer.conv}`, FETCH_AFTER, () => {
      if (this.outbox.acknowledgedSeq(answer.conv) > this.know(answer.conv).log.seq) void this.fetch(answer.conv)
    })
  }

  private opened(local: string, conv: string, answer: p.Committed): void {
    this.aliases.set(local, conv)
    const known = this.know(conv)
    if (answer.consultation) known.meet(answer.consultation)
    this.changed(local)
    this.changed(conv)
  }

  private holds(conv: string, cid: string): boolean {
    const mine = (op: p.Operation): boolean => op.cid === cid && op.from?.id === this.me.id
    if (!conv.startsWith('new:')) return this.conversations.get(conv)?.log.ops.some(mine) ?? false
    return [...this.conversations.values()].some(({ log }) => log.ops.some(mine))
  }

  // --- receipts and typing ---------------------------------------------------------------------

  private receiptsOf(known: Conversation): void {
    const load = this.options.loadReceipts
    if (!load) return
    void load(known.conv).then(
      (found) => found.forEach((receipt) => this.received(known, receipt)),
      () => undefined, // what was known before is shown
    )
  }

  private received(known: Conversation, receipt: p.Receipt): void {
    known.receive(receipt)
    const { kind, id } = receipt.reader
    if (kind === this.me.kind && id === this.me.id) known.read = Math.max(known.read, receipt.read)
    this.logs.touch(known.conv)
    this.soon('save', SAVE_AFTER, () => void this.save())
    this.changed(known.conv)
  }

  protected receiptsSoon(): void {
    this.soon('receipts', RECEIPTS_AFTER, async () => {
      const again = await tellReceipts(this.conversations.values(), this.connection, this.me)
      if (again !== undefined) this.soon('receipts', again, () => this.receiptsSoon())
    })
  }

  private types({ conv, who }: { conv: string; who: 'citizen' | 'staff' }): void {
    const known = this.know(conv)
    known.typing = { who, until: this.clock.now() + p.TYPING_SHOWN }
    this.changed(conv)
    this.soon(`typing:${conv}`, p.TYPING_SHOWN, () => {
      known.typing = null
      this.changed(conv)
    })
  }

  // --- keeping and telling ---------------------------------------------------------------------

  private async load(): Promise<void> {
    try {
      for (const known of await this.logs.load()) this.conversations.set(known.conv, known)
      await this.outbox.adopt((conv, cid) => this.holds(conv, cid))
    } catch {
      this.connection.status.storageFailing = true
    }
    for (const conv of this.conversations.keys()) this.changed(conv)
    this.changed()
  }

  private save(): Promise<void> {
    this.saving = this.saving.then(async () => {
      for (const conv of await this.logs.save(this.conversations)) this.outbox.logStored(conv)
    })
    return this.saving
  }

  protected know(conv: string): Conversation {
    let known = this.conversations.get(conv)
    if (!known) {
      known = new Conversation(conv)
      known.at = this.clock.now()
      this.conversations.set(conv, known)
    }
    return known
  }

  private forget(conv: string): void {
    this.followed.delete(conv)
    this.conversations.delete(conv)
    this.outbox.left(conv)
    this.logs.touch(conv)
    this.soon('save', SAVE_AFTER, () => void this.save())
    this.changed(conv)
  }

  /** An event that changes nothing in a consultation, until there is a definite answer. */
  protected async question(event: string, payload: unknown): Promise<Record<string, unknown>> {
    for (;;) {
      await this.whenOnline()
      const answer = await this.connection.ask(event, payload)
      if (answer === LOST) continue
      if (answer.ok) return answer
      if (!answer.retry) throw new ChatProblem(answer.problem)
      await this.wait(answer.after_ms ?? 1_000)
    }
  }

  private whenOnline(): Promise<void> {
    if (this.stopped) return Promise.reject(new ChatProblem(LOCAL_PROBLEMS.stopped))
    if (this.connection.status.online) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.waiting.push(() => (this.stopped ? reject(new ChatProblem(LOCAL_PROBLEMS.stopped)) : resolve()))
    })
  }

  private wait(after: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimeout(resolve, after))
  }

  /** Do something a little later, once, however often it is asked for meanwhile. */
  protected soon(name: string, after: number, work: () => unknown): void {
    if (this.stopped) return
    const running = this.timers.get(name)
    // a typing sign is shown longer by the next one; everything else is done when it was first asked for
    if (running !== undefined && !name.startsWith('typing:')) return
    if (running !== undefined) this.clock.clearTimeout(running)
    const timer = this.clock.setTimeout(() => {
      this.timers.delete(name)
      void work()
    }, after)
    this.timers.set(name, timer)
  }

  /** Note a change of a consultation, or of the status; listeners hear of all changes of one moment together. */
  protected changed(conv?: string): void {
    if (conv !== undefined) this.conversations.get(conv)?.touch()
    this.changes.note(conv)
  }
}
