/** The consultation client: docs/protocol.md for one device of one person. */
import { ChatCore } from './core'
import { newCid } from './ids'
import type { Entry, EntryKind } from './outbox'
import { ChatProblem, LOCAL_PROBLEMS } from './problem'
import * as p from './protocol'
import { buildThread } from './thread'
import type * as t from './types'
import { OWN_BYTES } from './uploader'

interface Prepared {
  attachments: p.Attachment[]
  more: { photos: t.PendingPhoto[]; kept: Promise<void>[] }
}

export class ChatClient extends ChatCore {
  // --- seeing ----------------------------------------------------------------------------------

  /** All consultations that are known here, the latest first. */
  list(): t.ConversationView[] {
    const convs = new Set([...this.conversations.keys(), ...[...this.outbox.entries.values()].map((e) => e.conv)])
    return [...convs].map((conv) => this.view(conv)).sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0))
  }

  /** One consultation, whether or not anything is known of it yet. */
  view(conv: string): t.ConversationView {
    conv = this.resolve(conv)
    const known = this.conversations.get(conv)
    const header = known?.shown(this.side)
    const entries = this.outbox.of(conv)
    const opening = entries.find((entry) => entry.kind === 'open')
    const typed = opening ? new Date(opening.order[0]).toISOString() : ''
    return {
      conv,
      header,
      subject: header?.subject ?? String(opening?.payload.subject ?? ''),
      matter: header?.matter ?? null,
      joined: known?.joined ?? false,
      unread: header?.unread ?? 0,
      pending: entries.length,
      failed: entries.filter((entry) => entry.problem).length,
      typing: known?.typing?.who ?? null,
      at: header?.last_message?.ts ?? header?.updated_at ?? typed,
      problem: opening?.problem,
    }
  }

  /** The bubbles and lines of a consultation: committed ones by number, then those on their way as typed. */
  thread(conv: string): readonly t.ThreadItem[] {
    conv = this.resolve(conv)
    const known = this.conversations.get(conv)
    if (known?.thread) return known.thread
    const items = buildThread({
      ops: known?.log.ops ?? [],
      entries: this.outbox.of(conv),
      receipts: known?.receipts ?? [],
      othersRead: known?.header?.read?.[this.side === 'citizen' ? 'staff' : 'citizen'] ?? 0,
      me: this.me,
      acknowledged: (cid) => this.outbox.isAcknowledged(cid),
      retry: (cid) => this.outbox.retry(cid),
      discard: (cid) => this.outbox.discard(cid),
    })
    if (known) known.thread = items
    return items
  }

  /** The consultation's operations as they are here: a prefix of the server's log. */
  operations(conv: string): readonly p.Operation[] {
    return this.conversations.get(this.resolve(conv))?.log.ops ?? []
  }

  // --- saying ----------------------------------------------------------------------------------

  /** Open a consultation (citizens). It can be talked in at once under `conv`. */
  open(input: t.OpenInput): t.Sending {
    const { text, ...payload } = input
    const cid = newCid(this.options.random)
    const body = text === undefined ? undefined : { text }
    return this.enqueue('open', `new:${cid}`, 'conv:open', { ...payload }, { cid, body })
  }

  send(conv: string, content: p.Content): t.Sending {
    return this.enqueue('message', conv, 'msg:send', {}, { body: content })
  }

  /** Send photographs, at most nine, as one message. They are uploaded first; what is sent next waits. */
  sendPhoto(conv: string, photo: t.PhotoInput | t.PhotoInput[], content: p.Content = {}): t.Sending {
    const { attachments, more } = this.prepare(Array.isArray(photo) ? photo : [photo])
    return this.enqueue('message', conv, 'msg:send', {}, { body: { ...content, attachments }, ...more })
  }

  /** Replace the text of an own message, within 5 minutes. */
  edit(conv: string, targetSeq: number, text: string): t.Sending {
    return this.enqueue('edit', conv, 'msg:edit', { target_seq: targetSeq, text })
  }

  /** Take an own message back, within 2 minutes. */
  recall(conv: string, targetSeq: number): t.Sending {
    return this.enqueue('recall', conv, 'msg:recall', { target_seq: targetSeq })
  }

  /** A note between staff, with photographs if there are any. */
  note(conv: string, text: string, photos: t.PhotoInput[] = []): t.Sending {
    const prepared = photos.length > 0 ? this.prepare(photos) : undefined
    const attachments = prepared && { attachments: prepared.attachments }
    return this.enqueue('note', conv, 'note:add', {}, { body: { text, ...attachments }, ...prepared?.more })
  }

  // --- handling: each resolves when committed and rejects with `ChatProblem` -------------------

  /** Take what is offered or waits (clerks). `ver` is the version that was seen; the latest when left out. */
  accept(conv: string, ver?: number): Promise<p.Committed> {
    return this.act(conv, 'offer:accept', { ver: this.seen(conv, ver) })
  }

  decline(conv: string, reason: string, ver?: number): Promise<p.Committed> {
    return this.act(conv, 'offer:decline', { ver: this.seen(conv, ver), reason })
  }

  transfer(conv: string, postId: string, reason: string, ver?: number): Promise<p.Committed> {
    return this.act(conv, 'conv:transfer', { ver: this.seen(conv, ver), post_id: postId, reason })
  }

  close(conv: string, input: t.CloseInput = {}): Promise<p.Committed> {
    const reason = input.reason ?? (this.me.kind === 'citizen' ? 'citizen_left' : 'answered')
    return this.act(conv, 'conv:close', { reason, remark: input.remark ?? '' })
  }

  reopen(conv: string): Promise<p.Committed> {
    return this.act(conv, 'conv:reopen', {})
  }

  rate(conv: string, score: number, comment = ''): Promise<p.Committed> {
    return this.act(conv, 'conv:rate', { score, comment })
  }

  /** Whether a desk takes consultations; holds on all desks of the person. */
  async setPresence(state: 'available' | 'away'): Promise<boolean> {
    const answer = await this.question('presence:set', { state })
    this.connection.status.available = Boolean(answer.available)
    this.changed()
    return Boolean(answer.available)
  }

  /** Read a consultation that did not come by itself: one that waits, an old one. Again after each reconnect. */
  async follow(conv: string): Promise<void> {
    conv = this.resolve(conv)
    if (conv.startsWith('new:') || this.conversations.get(conv)?.joined) return
    this.followed.add(conv)
    if (!this.connection.status.online) return // the next hello names it
    const { log } = this.know(conv)
    await this.connection.greet({ [conv]: [log.epoch, log.seq] }, false)
    if (!this.conversations.has(conv)) throw new ChatProblem(LOCAL_PROBLEMS.notFound)
  }

  /** What is on the screen was read; up to the last operation when `seq` is left out. */
  markRead(conv: string, seq?: number): void {
    const known = this.conversations.get(this.resolve(conv))
    if (!known) return
    const upTo = Math.min(seq ?? known.log.seq, known.log.seq)
    if (upTo <= known.read) return
    known.read = upTo
    this.logs.touch(known.conv)
    this.changed(known.conv)
    this.receiptsSoon()
  }

  /** A key was pressed: call it as often as you like. */
  typing(conv: string): void {
    conv = this.resolve(conv)
    const now = this.clock.now()
    if (now - (this.typed.get(conv) ?? -Infinity) < p.TYPING_EVERY || !this.conversations.get(conv)?.joined) return
    this.typed.set(conv, now)
    this.connection.tell('typing', { conv })
  }

  // --- within ----------------------------------------------------------------------------------

  private seen(conv: string, ver: number | undefined): number {
    return ver ?? this.conversations.get(this.resolve(conv))?.header?.version ?? 0
  }

  private act(conv: string, event: string, payload: Record<string, unknown>): Promise<p.Committed> {
    return this.enqueue('action', conv, event, payload).done
  }

  /** Photographs get their ids here, before the first attempt to upload them. */
  private prepare(inputs: t.PhotoInput[]): Prepared {
    const kept: Promise<void>[] = []
    const photos = inputs.map(({ ref, data, ...rest }): t.PendingPhoto => {
      if (data === undefined && ref === undefined) throw new Error('a photograph needs `ref` or `data`')
      const uploadId = newCid(this.options.random)
      const key = data === undefined ? (ref ?? '') : `${OWN_BYTES}${uploadId}`
      if (data !== undefined) kept.push(this.uploader.keep(key, data))
      return { ...rest, uploadId, ref: key, progress: 0 }
    })
    return { attachments: photos.map(({ uploadId }) => ({ upload_id: uploadId })), more: { photos, kept } }
  }

  private enqueue(
    kind: EntryKind,
    conv: string,
    event: string,
    payload: Record<string, unknown>,
    more: { cid?: string; body?: p.Content; photos?: t.PendingPhoto[]; kept?: Promise<void>[] } = {},
  ): t.Sending {
    const { kept, ...rest } = more
    const cid = more.cid ?? newCid(this.options.random)
    const entry: Entry = {
      kind,
      event,
      payload,
      order: this.outbox.nextOrder(),
      ...rest,
      cid,
      conv: this.resolve(conv),
    }
    const sending = this.outbox.add(entry)
    if (!kept?.length) return sending
    const stored = Promise.all([sending.stored, ...kept]).then(() => undefined)
    stored.catch(() => undefined)
    return { ...sending, stored }
  }
}
