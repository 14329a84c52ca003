/** A consultation's header after one more operation: the port of `backend/domain/consultations.py`. */
import type { CloseReason, Consultation, Content, Operation } from './protocol'

const RECALLED = '[已撤回]'
const MAX_PREVIEW = 80
const TALK = new Set(['message', 'edit', 'recall', 'note', 'skip'])

/** One line for lists: the beginning of the text, or what stands in its place. */
export function previewOf(content: Content): string {
  const chars = Array.from(content.text ?? '').slice(0, MAX_PREVIEW * 4)
  const text = chars.join('').split(/\s+/u).filter(Boolean).join(' ')
  const line = Array.from(text)
  if (line.length > 0) return line.length <= MAX_PREVIEW ? text : line.slice(0, MAX_PREVIEW - 1).join('') + '…'
  if (content.attachments?.length) return '[图片]'
  if (content.location) return '[位置]'
  return content.card ? Array.from(`[卡片] ${content.card.title}`).slice(0, MAX_PREVIEW).join('') : ''
}

/** Only the operation after `header.last_seq` changes anything. */
export function applyToHeader(header: Consultation, op: Operation): Consultation {
  if (op.epoch !== header.epoch || op.seq !== header.last_seq + 1) return header
  const next = { ...header, last_seq: op.seq }
  if (!TALK.has(op.kind)) next.version = op.seq
  if (op.kind === 'skip' || op.vis === 'staff' || op.ts === undefined) return next
  next.updated_at = op.ts
  if (op.from?.kind === 'citizen' && op.from.id === header.citizen.id) next.citizen = op.from
  return fold(next, op, op.ts)
}

function fold(header: Consultation, op: Operation, at: string): Consultation {
  const body = op.body ?? {}
  switch (op.kind) {
    case 'message':
      return message(header, op, at)
    case 'edit':
      return preview(header, body.target_seq, previewOf({ text: body.text }))
    case 'recall':
      return preview(header, body.target_seq, RECALLED)
    case 'offered':
      return { ...header, state: 'offered', staff: body.staff ?? null }
    case 'assigned':
      return {
        ...header,
        state: 'active',
        staff: body.staff ?? null,
        post_id: body.post_id ?? null,
        department_id: body.department_id ?? null,
        tier: body.tier ?? null,
        explanation: body.explanation || header.explanation,
      }
    case 'waiting':
      return {
        ...header,
        state: 'waiting_answer',
        staff: null,
        tier: null,
        post_id: body.post_id ?? null,
        department_id: body.department_id ?? null,
        promised_at: body.promised_at ?? null,
        explanation: body.explanation ?? '',
      }
    case 'transferred': {
      const to = { post_id: body.post_id ?? null, department_id: body.department_id ?? null }
      return { ...header, state: 'queued', staff: null, tier: null, ...to }
    }
    case 'closed':
      return { ...header, state: 'closed', closed_at: at, close_reason: body.reason as CloseReason, promised_at: null }
    case 'reopened':
      return { ...header, state: 'queued', staff: null, closed_at: null, close_reason: null, score: null }
    case 'rated':
      return { ...header, score: body.score ?? null }
    default:
      return header // a kind of a later version
  }
}

function message(header: Consultation, op: Operation, at: string): Consultation {
  if (!op.from) return header
  const text = op.recalled_by === undefined ? previewOf(op.body ?? {}) : RECALLED
  const next: Consultation = { ...header, last_message: { seq: op.seq, from: op.from, text, ts: at } }
  if (op.from.kind !== 'staff') return next
  return { ...next, promised_at: null, first_answered_at: header.first_answered_at ?? at }
}

function preview(header: Consultation, target: number | undefined, text: string): Consultation {
  const last = header.last_message
  if (!last || last.seq !== target || last.text === RECALLED) return header
  return { ...header, last_message: { ...last, text } }
}

/** As many messages of a side are counted. */
const COUNTED = 100

/** What follows from a whole log: `waiting_since`, and what is unread for a side after the number `read`. */
export function countsOf(
  ops: readonly Operation[],
  side: 'citizen' | 'staff',
  read: number,
): { unread: number; waiting_since: string | null } {
  let waiting: { seq: number; at: string }[] = []
  const said: number[] = []
  for (const op of ops) {
    if (op.kind === 'closed') waiting = []
    if (op.kind !== 'message' || !op.from || op.ts === undefined) continue
    if (op.from.kind === 'staff') waiting = []
    else waiting.push({ seq: op.seq, at: op.ts })
    if (op.from.kind !== side && op.recalled_by === undefined) said.push(op.seq)
  }
  const recalled = new Set(ops.filter((op) => op.kind === 'recall').map((op) => op.body?.target_seq))
  const first = waiting.find(({ seq }) => !recalled.has(seq))
  const unread = said.slice(-COUNTED).filter((seq) => seq > read).length
  return { unread, waiting_since: first?.at ?? null }
}
