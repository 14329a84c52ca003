/** The objects of docs/protocol.md as they travel. */
import type { Problem } from './problem'

export type Namespace = '/citizen' | '/clerk'
export type PartyKind = 'citizen' | 'staff' | 'system'

export interface Party {
  kind: PartyKind
  id: string
  name: string
}

/** A photograph in a message. `size` in bytes, `width` and `height` in pixels. */
export interface Attachment {
  upload_id: string
  name?: string
  media_type?: string
  size?: number
  width?: number
  height?: number
  url?: string
  thumbnail_url?: string
}

/** GCJ-02 degrees. */
export interface Location {
  latitude: number
  longitude: number
  name?: string
  address?: string
}

export interface Card {
  kind: 'guide' | 'case' | 'material_request'
  target_id: string
  title: string
  version?: number | null
  item?: string | null
}

/** What a message says; at least one of text, attachments, location and card. */
export interface Content {
  text?: string
  attachments?: Attachment[]
  location?: Location | null
  card?: Card | null
  /** The number of the message that is quoted. */
  reply_to?: number | null
}

export interface MatterRef {
  id: string
  version: number
  name: string
}

export type ConsultationState = 'queued' | 'offered' | 'active' | 'waiting_answer' | 'closed'
export type CloseReason = 'answered' | 'citizen_left' | 'silent' | 'misplaced'

export interface Preview {
  seq: number
  from: Party
  text: string
  ts: string
}

/** The object of `GET /api/consultations/{id}`. */
export interface Consultation {
  id: string
  epoch: number
  last_seq: number
  /** The number of the last operation that changed more than the talk. */
  version: number
  state: ConsultationState
  subject: string
  citizen: Party
  matter: MatterRef | null
  case_id: string | null
  area_code: string | null
  post_id: string | null
  department_id: string | null
  staff: Party | null
  tier: string | null
  explanation: string
  promised_at: string | null
  opened_at: string
  updated_at: string
  first_answered_at: string | null
  closed_at: string | null
  close_reason: CloseReason | null
  score: number | null
  last_message?: Preview | null
  /** Up to which number either side has read. */
  read?: { citizen: number; staff: number }
  /** Messages of the other side after one's own side's watermark, counted to 100. */
  unread?: number
  /** When the oldest message of the citizen that waits for an answer was sent. */
  waiting_since?: string | null
}

export interface Receipt {
  reader: Party
  delivered: number
  read: number
}

export type OperationKind =
  | 'opened'
  | 'message'
  | 'edit'
  | 'recall'
  | 'note'
  | 'offered'
  | 'assigned'
  | 'waiting'
  | 'transferred'
  | 'closed'
  | 'reopened'
  | 'rated'
  | 'skip'

/** The members of all bodies; which are there depends on the kind. */
export interface OperationBody extends Content {
  citizen?: Party
  subject?: string
  matter?: MatterRef | null
  case_id?: string | null
  area_code?: string | null
  target_seq?: number
  staff?: Party
  expires_at?: string
  post_id?: string | null
  department_id?: string | null
  tier?: string | null
  cause?: 'routed' | 'taken' | 'declined' | 'transferred'
  explanation?: string
  promised_at?: string | null
  reason?: string
  remark?: string
  score?: number
  comment?: string
}

/** One numbered entry of a consultation's log. A `skip` has its number and nothing else. */
export interface Operation {
  v: number
  conv: string
  epoch: number
  seq: number
  /** One of `OperationKind`, or a kind of a later version: kept, and counted like a skip. */
  kind: string
  id?: string
  cid?: string
  from?: Party
  ts?: string
  vis?: 'all' | 'staff'
  body?: OperationBody
  recalled_by?: number
}

/** The acknowledgement of what was committed. */
export interface Committed {
  conv: string
  id: string
  epoch: number
  seq: number
  ts: string
  ver: number
  state: ConsultationState
  dup: boolean
  consultation?: Consultation
}

export type Ack =
  | { ok: true; [member: string]: unknown }
  | { ok: false; problem: Problem; retry: boolean; after_ms?: number }

export interface HelloEntry {
  conv: string
  joined: boolean
  recovered: boolean
  cursor: number
  epoch: number
  last_seq: number
  consultation: Consultation
}

export interface HelloAnswer {
  /** The version both speak; 1 where it is not said. */
  v?: number
  convs: HelloEntry[]
  gone: string[]
  server_ts: string
  available?: boolean
}

export interface OpsAnswer {
  conv: string
  epoch: number
  last_seq: number
  recovered: boolean
  more: boolean
  ops: Operation[]
}

/** What is spoken here. */
export const PROTOCOL_VERSIONS: readonly number[] = [1]
/** Milliseconds. */
export const ANSWER_TIMEOUT = 8_000
export const BEAT_EVERY = 20_000
export const TYPING_EVERY = 3_000
export const TYPING_SHOWN = 5_000
/** Consultations one `hello` or `beat` may name. */
export const MAX_CURSORS = 200
