/** A log as people read it: the port of `backend/domain/consultation_threads.py`, with what is on its way. */
import { previewOf } from './fold'
import { firstMessageCid } from './ids'
import type { Entry } from './outbox'
import type { Operation, Party, Receipt } from './protocol'
import type { Bubble, Quote, SendState, SystemLine, ThreadItem } from './types'

const LINES = new Set(['opened', 'offered', 'assigned', 'waiting', 'transferred', 'closed', 'reopened', 'rated'])

export interface ThreadSource {
  ops: readonly Operation[]
  /** In the order in which they were typed. */
  entries: readonly Entry[]
  receipts: readonly Receipt[]
  /** Up to which number the other side has read, as the header says. */
  othersRead: number
  me: Party
  acknowledged(cid: string): boolean
  retry(cid: string): void
  discard(cid: string): void
}

const nothing = (): void => undefined

export function buildThread(source: ThreadSource): ThreadItem[] {
  const items: ThreadItem[] = []
  const bubbles = new Map<number, Bubble>()
  for (const op of source.ops) {
    const item = fold(op, bubbles, source)
    if (item) items.push(item)
  }
  for (const entry of source.entries) {
    const item = pending(entry, bubbles, source)
    if (item) items.push(item)
  }
  for (const item of items) {
    const target = item.type === 'bubble' && !item.recalled ? item.content.reply_to : undefined
    if (item.type === 'bubble' && target) item.quote = quote(target, bubbles.get(target))
  }
  return items
}

function fold(op: Operation, bubbles: Map<number, Bubble>, source: ThreadSource): ThreadItem | undefined {
  if (!op.from || op.ts === undefined) return undefined
  const body = op.body ?? {}
  if (op.kind === 'message' || op.kind === 'note') {
    const bubble = committed(op, op.from, op.ts, source)
    bubbles.set(op.seq, bubble)
    return bubble
  }
  const target = body.target_seq === undefined ? undefined : bubbles.get(body.target_seq)
  if (op.kind === 'edit' && target && !target.recalled) {
    target.content = { ...target.content, text: body.text ?? '' }
    target.editedAt = op.ts
  } else if (op.kind === 'recall' && target) {
    target.content = {}
    delete target.editedAt
    target.recalled = true
  } else if (LINES.has(op.kind)) {
    return { type: 'system', key: `line-${op.seq}`, seq: op.seq, at: op.ts, kind: op.kind as SystemLine['kind'], op }
  }
  return undefined
}

function committed(op: Operation, from: Party, at: string, source: ThreadSource): Bubble {
  const mine = from.kind === source.me.kind && from.id === source.me.id
  const cid = op.cid ?? ''
  const recalled = op.recalled_by !== undefined
  return {
    type: 'bubble',
    key: `${from.id}-${cid}`,
    cid,
    seq: op.seq,
    mine,
    from,
    at,
    content: recalled ? {} : { ...op.body },
    note: op.kind === 'note',
    recalled,
    state: mine ? seen(op, source) : 'sent',
    retry: nothing,
    discard: nothing,
  }
}

/** How far the other side is: a citizen's message with anybody of the staff, theirs with the citizen. */
function seen(op: Operation, source: ThreadSource): SendState {
  const others = source.receipts.filter((receipt) => receipt.reader.kind !== source.me.kind)
  if (source.othersRead >= op.seq || others.some((receipt) => receipt.read >= op.seq)) return 'read'
  return others.some((receipt) => receipt.delivered >= op.seq) ? 'delivered' : 'sent'
}

function pending(entry: Entry, bubbles: Map<number, Bubble>, source: ThreadSource): Bubble | undefined {
  if (entry.kind === 'edit' || entry.kind === 'recall') {
    const target = bubbles.get(Number(entry.payload.target_seq))
    if (target && !target.recalled) {
      target.changing = entry.kind
      if (entry.kind === 'edit') target.content = { ...target.content, text: String(entry.payload.text) }
    }
    return undefined
  }
  if (!entry.body) return undefined
  const cid = entry.kind === 'open' ? firstMessageCid(entry.cid) : entry.cid
  const state = entry.problem ? 'failed' : source.acknowledged(entry.cid) ? 'sent' : 'sending'
  const bubble: Bubble = {
    type: 'bubble',
    key: `${source.me.id}-${cid}`,
    cid,
    mine: true,
    from: source.me,
    at: new Date(entry.order[0]).toISOString(),
    content: entry.body,
    note: entry.kind === 'note',
    recalled: false,
    state,
    retry: entry.problem ? () => source.retry(entry.cid) : nothing,
    discard: entry.problem ? () => source.discard(entry.cid) : nothing,
  }
  if (entry.problem) bubble.problem = entry.problem
  if (entry.photos?.length) bubble.photos = entry.photos.map((photo) => ({ ...photo }))
  return bubble
}

function quote(seq: number, target: Bubble | undefined): Quote {
  if (!target) return { seq, from: null, text: '', recalled: false }
  return { seq, from: target.from, text: target.recalled ? '' : previewOf(target.content), recalled: target.recalled }
}
