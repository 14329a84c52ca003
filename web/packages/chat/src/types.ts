/** What the apps give the client and what it shows them. */
import type { Clock } from './clock'
import type { Random } from './ids'
import type { Problem } from './problem'
import type {
  Attachment,
  CloseReason,
  Committed,
  Consultation,
  Content,
  MatterRef,
  Namespace,
  Operation,
  Party,
  Receipt,
} from './protocol'
import type { BlobStore, ChatStorage } from './storage'
import type { Transport } from './transport'

export interface Status {
  online: boolean
  /** Since when it is so, in milliseconds of the clock. */
  since: number
  /** Attempts that failed since it was last online. */
  attempt: number
  /** When the next attempt is made; null while online, while one is under way and when none will be. */
  nextTryAt: number | null
  /** Why it is not online. `unsupported-version`: the page must be loaded anew; no further attempt is made. */
  reason: 'connecting' | 'network' | 'refused' | 'sleeping' | 'stopped' | 'session-ended' | 'unsupported-version' | null
  /** What the server said when it refused the last attempt, if it did. */
  problem: Problem | null
  /** A desk's own state, once the server told it. */
  available: boolean | null
  /** What was typed could not be stored on this device: it is sent, but would not survive a reload. */
  storageFailing: boolean
}

/** What changed since the listener was last called. */
export interface Change {
  /** Consultations whose thread, header, receipts or typing changed; `new:…` for those not opened yet. */
  convs: ReadonlySet<string>
  status: boolean
}

/** A photograph to be sent. `ref` survives a reload: a file's path, or the key of `data` in the blob store. */
export interface PhotoInput {
  ref?: string
  /** The bytes (a `Blob`), kept in `blobStore` until they are uploaded. */
  data?: unknown
  name?: string
  mediaType?: string
  /** In bytes. */
  size?: number
  /** In pixels. */
  width?: number
  height?: number
}

/** What `upload` gets: `data` where there is a blob store, else the path in `ref` alone. */
export interface PhotoSource {
  ref: string
  data?: unknown
  name?: string
  mediaType?: string
}

/**
 * Uploads one photograph under an id fixed before the first attempt. Throws `{problem}` (of `ApiProblem` or
 * `ChatProblem`) for a refusal, anything else for a cut connection, which is tried again.
 */
export type Upload = (
  photo: PhotoSource,
  uploadId: string,
  onProgress: (fraction: number) => void,
  signal: AbortSignal | undefined,
) => Promise<void>

/** A photograph on its way. `progress` is 0 … 1. */
export interface PendingPhoto {
  uploadId: string
  ref: string
  name?: string
  mediaType?: string
  size?: number
  width?: number
  height?: number
  progress: number
  uploaded?: boolean
}

export type SendState = 'sending' | 'sent' | 'delivered' | 'read' | 'failed'

/** What a bubble quotes; `null` members where the quoted one was recalled or is not a message. */
export interface Quote {
  seq: number
  from: Party | null
  text: string
  recalled: boolean
}

/** A message or a note. */
export interface Bubble {
  type: 'bubble'
  /** The same from the moment it was typed: for `v-for`. */
  key: string
  cid: string
  /** Undefined until it is committed. */
  seq?: number
  mine: boolean
  from: Party
  /** RFC 3339; the device's time until it is committed. */
  at: string
  content: Content
  note: boolean
  editedAt?: string
  recalled: boolean
  quote?: Quote
  /** Own bubbles go from `sending` to `read`; those of others are `sent`. */
  state: SendState
  /** Why it failed. */
  problem?: Problem
  /** Own photographs still on this device (while sending or failed). */
  photos?: PendingPhoto[]
  /** An own edit or recall is on its way; `content` shows the edited text already. */
  changing?: 'edit' | 'recall'
  /** For a failed bubble: try again, or take it away. Nothing for any other. */
  retry(): void
  discard(): void
}

/** Something that happened: assigned, transferred, closed … `op` has the details. */
export interface SystemLine {
  type: 'system'
  key: string
  seq: number
  at: string
  kind: 'opened' | 'offered' | 'assigned' | 'waiting' | 'transferred' | 'closed' | 'reopened' | 'rated'
  op: Operation
}

export type ThreadItem = Bubble | SystemLine

/** A consultation as lists show it. */
export interface ConversationView {
  /** Its id, or `new:<cid>` until the server opened it; both go on to work. */
  conv: string
  /** Undefined until the server told it. */
  header?: Consultation
  subject: string
  matter: MatterRef | null
  /** Whether its operations come by themselves. False for one that waits on a desk: `follow` it to read it. */
  joined: boolean
  /** Messages of others after what was read here. */
  unread: number
  /** Own things that are not committed yet, failed ones included. */
  pending: number
  failed: number
  typing: 'citizen' | 'staff' | null
  /** When something last happened, RFC 3339; for sorting. */
  at: string
  /** Why it could not be opened. */
  problem?: Problem
}

/** Something on its way. */
export interface Sending {
  cid: string
  /** The consultation; `new:<cid>` for one that is being opened. */
  conv: string
  /** It survives a reload from here on. Rejects when the device does not keep it. */
  stored: Promise<void>
  /** Committed; rejects with `ChatProblem` when refused for good or discarded. Need not be awaited. */
  done: Promise<Committed>
}

/** A change of a message that was refused for good. */
export interface Refused {
  conv: string
  kind: 'edit' | 'recall'
  targetSeq: number
  /** What an edit would have made of it. */
  text?: string
  problem: Problem
}

export interface OpenInput {
  subject: string
  matter_id?: string
  case_id?: string
  area_code?: string
  /** The first message. */
  text?: string
}

export interface CloseInput {
  reason?: CloseReason
  remark?: string
}

export interface ChatOptions {
  namespace: Namespace
  /** Who is logged in here; what is kept on the device is kept for this person alone. */
  me: { id: string; name: string }
  /** `POST /api/socket-tickets`: a fresh ticket for each attempt. */
  getTicket: () => Promise<string>
  transport: Transport
  storage: ChatStorage
  /** A name of this device, for the person's list of sessions; at most 100 characters. */
  device?: string
  /** `GET /api/consultations/{id}/receipts`: how far everybody is, asked after each connection. */
  loadReceipts?: (conv: string) => Promise<Receipt[]>
  upload?: Upload
  blobStore?: BlobStore
  /** The session is over: log in again. Things not sent stay stored for this person. */
  onSessionEnded?: (problem: Problem) => void
  /**
   * An edit or a recall was refused: no bubble says so, and after a reload nobody waits for its `done`. It is
   * forgotten once this returns. Every tab that sent it is told.
   */
  onRefused?: (refused: Refused) => void
  clock?: Clock
  random?: Random
  /** Begin of the keys in `storage`. */
  prefix?: string
  /** Milliseconds between attempts: first and longest. */
  pauses?: readonly [number, number]
  /** Milliseconds without an acknowledgement after which a thing is sent again. */
  answerTimeout?: number
  /** Milliseconds between beats. */
  beatEvery?: number
  /** Logs kept on the device. */
  keepLogs?: number
}

export type { Attachment }
