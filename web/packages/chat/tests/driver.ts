/**
 * Hosts clients for `tests/conformance`: one JSON object a line over TCP, `{id, do, client, …}`, each answered with
 * `{id, ok, …}`. Prints its port. The clients of a connection end with it; the process ends with its standard input.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

import {
  ChatClient,
  memoryStorage,
  newCid,
  socketIoTransport,
  systemClock,
  type Bubble,
  type Clock,
  type Content,
  type Problem,
} from '../src'

interface Command {
  id: number
  do: string
  client: string
  conv?: string
  text?: string
  cid?: string
  seq?: number
  [argument: string]: unknown
}

interface Device {
  chat: ChatClient
  area: Map<string, string>
  offset: { ms: number }
  ended: Problem[]
}

/** A clock that is off by `offset`. */
function clockOf(offset: { ms: number }): Clock {
  return { ...systemClock, now: () => Date.now() + offset.ms }
}

class Host {
  private readonly devices = new Map<string, Device>()

  constructor(private readonly socket: Socket) {
    createInterface({ input: socket }).on('line', (line) => void this.answer(JSON.parse(line) as Command))
    socket.on('close', () => void this.stop())
    socket.on('error', () => undefined)
  }

  private async answer(command: Command): Promise<void> {
    let answer: object
    try {
      answer = { ok: true, ...((await this.obey(command)) ?? {}) }
    } catch (error) {
      answer = { ok: false, error: String(error) }
    }
    this.socket.write(`${JSON.stringify({ id: command.id, ...answer })}\n`)
  }

  private async stop(): Promise<void> {
    for (const { chat } of this.devices.values()) await chat.stop()
  }

  private async obey(command: Command): Promise<object | void> {
    const { client, conv = '', text = '', cid = '', seq } = command
    if (command.do === 'new') return this.create(command)
    const device = this.devices.get(client)
    if (!device) throw new Error(`no client ${client}`)
    const { chat } = device
    switch (command.do) {
      case 'start':
        return await chat.start()
      case 'stop':
        return await chat.stop()
      case 'crash': // goes down without a word: what was stored at this moment is what is left
        device.area = new Map(device.area)
        return chat.sleep()
      case 'sleep':
        return chat.sleep()
      case 'wake':
        return chat.wake()
      case 'clock':
        device.offset.ms = Number(command.offset) * 1_000
        return
      case 'open': {
        const { payload } = command as unknown as { payload: { subject: string; matter_id?: string; text?: string } }
        const sending = chat.open(payload)
        await sending.stored
        return { conv: sending.conv, cid: sending.cid }
      }
      case 'send':
        return stored(chat.send(conv, command.body as Content))
      case 'edit':
        return stored(chat.edit(conv, Number(seq), text))
      case 'recall':
        return stored(chat.recall(conv, Number(seq)))
      case 'note':
        return stored(chat.note(conv, text))
      case 'act': {
        const { name, args } = command as unknown as { name: 'close' | 'reopen' | 'rate' | 'accept'; args: [never] }
        const problem = await chat[name](conv, ...args).then(
          () => null,
          (error: { code: string }) => error.code,
        )
        return { problem }
      }
      case 'follow':
        return await chat.follow(conv)
      case 'read':
        return chat.markRead(conv, seq)
      case 'typing':
        return chat.typing(conv)
      case 'retry':
        return bubble(chat, conv, cid).retry()
      case 'discard':
        return bubble(chat, conv, cid).discard()
      case 'view':
        return view(device, conv)
      default:
        throw new Error(`no command ${command.do}`)
    }
  }

  private create(command: Command): object {
    const { client, url, token, person, namespace, from, timing } = command as unknown as {
      client: string
      url: string
      token: string
      person: { id: string; name: string }
      namespace: '/citizen' | '/clerk'
      from?: string
      timing: { first: number; longest: number; answer: number; beat: number; connect: number }
    }
    const area = new Map(from === undefined ? [] : this.devices.get(from)?.area)
    const offset = { ms: 0 }
    const ended: Problem[] = []
    const chat = new ChatClient({
      namespace,
      me: person,
      getTicket: () => ticket(url, token),
      transport: socketIoTransport({ url, timeout: timing.connect * 1_000 }),
      storage: memoryStorage(area),
      clock: clockOf(offset),
      pauses: [timing.first * 1_000, timing.longest * 1_000],
      answerTimeout: timing.answer * 1_000,
      beatEvery: timing.beat * 1_000,
      onSessionEnded: (problem) => void ended.push(problem),
    })
    this.devices.set(client, { chat, area, offset, ended })
    return {}
  }
}

async function stored(sending: { cid: string; stored: Promise<void> }): Promise<object> {
  await sending.stored
  return { cid: sending.cid }
}

async function ticket(url: string, token: string): Promise<string> {
  const headers = { Authorization: `Bearer ${token}`, 'Idempotency-Key': newCid() }
  const response = await fetch(`${url}/api/socket-tickets`, { method: 'POST', headers })
  const body = (await response.json().catch(() => ({}))) as { ticket: string }
  if (response.ok) return body.ticket
  const problem = { code: `http-${response.status}`, title: '', detail: '', ...body, status: response.status }
  throw Object.assign(new Error('no ticket'), { problem, retryAfter: Number(response.headers.get('Retry-After')) })
}

function bubble(chat: ChatClient, conv: string, cid: string): Bubble {
  const found = chat.thread(conv).find((item): item is Bubble => item.type === 'bubble' && item.cid === cid)
  if (!found) throw new Error(`no bubble ${cid}`)
  return found
}

/** All that a person could see, as JSON with the words of the protocol. */
function view({ chat, area, ended }: Device, conv: string): object {
  const { online, reason, problem } = chat.status
  const status = { online, reason, problem: problem?.code ?? null, ended: ended.length }
  if (conv === '') return { status, convs: chat.list().map((each) => each.conv) }
  const { header, pending, failed, typing } = chat.view(conv)
  const thread = chat.thread(conv).map((item) => {
    if (item.type === 'system') return { type: item.type, seq: item.seq, kind: item.kind }
    const { editedAt, quote, problem, changing, seq, ...rest } = item
    const { type, cid, mine, from, content, note, recalled, state } = rest
    return {
      ...{ type, cid, mine, from: from.kind, content, note, recalled, state },
      seq: seq ?? null,
      edited: editedAt !== undefined,
      quote: quote ? { seq: quote.seq, text: quote.text, recalled: quote.recalled } : null,
      problem: problem?.code ?? null,
      changing: changing ?? null,
    }
  })
  const id = chat.resolve(conv)
  const stored = [...area].find(([key]) => key.endsWith(`:log:${id}`))
  const kept = stored ? (JSON.parse(stored[1]) as { ops: unknown[] }).ops.length : 0
  return { kept, status, conv: id, header: header ?? {}, pending, failed, typing, thread, ops: chat.operations(conv) }
}

const hosts = createServer((socket) => new Host(socket))
hosts.listen(0, '127.0.0.1', () => console.log((hosts.address() as AddressInfo).port))
process.stdin.on('end', () => process.exit(0)).resume()
