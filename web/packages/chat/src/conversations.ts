/** What this device knows of each consultation, and the part of it that is kept through a reload. */
import { applyToHeader, countsOf } from './fold'
import { LocalLog } from './log'
import type { Consultation, Operation, Receipt } from './protocol'
import type { ChatStorage } from './storage'
import type { ThreadItem } from './types'

interface Stored {
  epoch: number
  ops: Operation[]
  header?: Consultation
  receipts: Receipt[]
  read: number
  at: number
}

export class Conversation {
  readonly log: LocalLog
  header: Consultation | undefined
  receipts: Receipt[] = []
  joined = false
  /** Own watermarks: what this device wants to be known, and what the server is known to have. */
  read = 0
  told = { delivered: 0, read: 0 }
  typing: { who: 'citizen' | 'staff'; until: number } | null = null
  /** The folded thread until something changes. */
  thread: readonly ThreadItem[] | undefined
  private current: Consultation | undefined
  /** When it was last used here, milliseconds. */
  at = 0

  constructor(readonly conv: string) {
    this.log = new LocalLog(conv)
  }

  /** A header as the server has it now, brought up to date with what the log has beyond. */
  meet(header: Consultation): void {
    const old = this.header
    if (old && old.epoch === header.epoch && old.last_seq > header.last_seq) {
      this.header = { ...header, ...old, read: header.read ?? old.read }
      return
    }
    let next = { ...header }
    if (next.epoch === this.log.epoch) {
      for (const op of this.log.ops.slice(next.last_seq)) next = applyToHeader(next, op)
    }
    this.header = next
  }

  /** Take an operation in. Answers what was applied. */
  add(op: Operation): Operation[] {
    if (op.epoch !== this.log.epoch) this.restart(op.epoch)
    const applied = this.log.add(op)
    for (const each of applied) {
      if (this.header) this.header = applyToHeader(this.header, each)
    }
    return applied
  }

  /** Numbers of another epoch mean nothing: begin again. */
  restart(epoch: number): void {
    this.log.reset(epoch)
    this.receipts = []
    this.read = 0
    this.told = { delivered: 0, read: 0 }
  }

  /** Watermarks only grow. */
  receive(receipt: Receipt): void {
    const { kind, id } = receipt.reader
    const old = this.receipts.find((r) => r.reader.kind === kind && r.reader.id === id)
    if (!old) this.receipts = [...this.receipts, receipt]
    else {
      old.delivered = Math.max(old.delivered, receipt.delivered)
      old.read = Math.max(old.read, receipt.read)
    }
  }

  /** The header with all that follows from the log, where the log is here as far as the header. */
  shown(side: 'citizen' | 'staff'): Consultation | undefined {
    const { header, log } = this
    if (!header || this.current) return this.current
    const read = { citizen: header.read?.citizen ?? 0, staff: header.read?.staff ?? 0 }
    for (const { reader, read: seq } of this.receipts) {
      if (reader.kind !== 'system') read[reader.kind] = Math.max(read[reader.kind], seq)
    }
    read[side] = Math.max(read[side], this.read)
    const complete = log.epoch === header.epoch && log.seq >= header.last_seq
    this.current = { ...header, read, ...(complete ? countsOf(log.ops, side, read[side]) : {}) }
    return this.current
  }

  /** Something changed: what was put together is put together anew. */
  touch(): void {
    this.thread = undefined
    this.current = undefined
  }
}

/** The order in which consultations are named where not all can be: what is to be followed, then the latest. */
export function latestFirst<C extends { conv: string; at: number }>(
  all: Iterable<C>,
  followed: ReadonlySet<string>,
): C[] {
  const rank = ({ conv }: C): number => (followed.has(conv) ? 1 : 0)
  return [...all].sort((a, b) => rank(b) - rank(a) || b.at - a.at)
}

/** Keeps the latest logs in the storage; every write may fail, since the server has all of it. */
export class LogStore {
  private dirty = new Set<string>()

  constructor(
    private readonly storage: ChatStorage,
    private readonly prefix: string,
    private readonly keep: number,
  ) {}

  touch(conv: string): void {
    this.dirty.add(conv)
  }

  async load(): Promise<Conversation[]> {
    const found: Conversation[] = []
    for (const key of await this.storage.keys(this.prefix)) {
      const conversation = parse(key.slice(this.prefix.length), await this.storage.get(key))
      if (conversation) found.push(conversation)
    }
    found.sort((a, b) => b.at - a.at)
    for (const old of found.splice(this.keep)) await this.storage.remove(this.prefix + old.conv)
    return found
  }

  /** Write what changed; answers the consultations whose logs are stored now, or cannot be. */
  async save(conversations: ReadonlyMap<string, Conversation>): Promise<string[]> {
    const convs = [...this.dirty]
    this.dirty.clear()
    const latest = [...conversations.values()].sort((a, b) => b.at - a.at)
    const kept = new Set(latest.slice(0, this.keep).map((conversation) => conversation.conv))
    for (const conv of convs) {
      const conversation = conversations.get(conv)
      try {
        if (conversation && kept.has(conv)) await this.storage.set(this.prefix + conv, serialise(conversation))
        else await this.storage.remove(this.prefix + conv)
      } catch {
        // a full device: the server has it
      }
    }
    for (const old of latest.slice(this.keep)) await this.storage.remove(this.prefix + old.conv).catch(() => undefined)
    return convs
  }
}

function serialise(conversation: Conversation): string {
  const { log, header, receipts, read, at } = conversation
  return JSON.stringify({ epoch: log.epoch, ops: log.ops, header, receipts, read, at } satisfies Stored)
}

function parse(conv: string, text: string | null | undefined): Conversation | undefined {
  if (!text) return undefined
  try {
    const stored = JSON.parse(text) as Stored
    const conversation = new Conversation(conv)
    conversation.log.reset(stored.epoch)
    for (const op of stored.ops) conversation.log.add(op)
    conversation.header = stored.header
    conversation.receipts = stored.receipts
    conversation.read = stored.read
    conversation.at = stored.at
    return conversation
  } catch {
    return undefined // written by another version: fetched anew
  }
}
