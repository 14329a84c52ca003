import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { expect, inject, vi } from 'vitest'

import { ChatClient, memoryStorage, socketIoTransport, type Bubble, type ChatOptions, type Operation } from '../src'
import { Proxy } from './proxy'
import type { Person } from './server'

export const office = inject('greeting')

/** A command to the server's process: see tests/web/chat_server.py. */
export async function command(words: string): Promise<Record<string, string>> {
  const socket = connect(inject('control'), '127.0.0.1')
  socket.write(`${words}\n`)
  for await (const line of createInterface({ input: socket })) return JSON.parse(line) as Record<string, string>
  throw new Error(`no answer to ${words}`)
}

let citizens = 0

/** A citizen nobody met before. */
export async function newCitizen(): Promise<Person> {
  const name = `citizen-${process.pid}-${Date.now()}-${citizens++}`
  const found = await command(`citizen ${name}`)
  return { id: found.id ?? '', token: found.token ?? '', name: '我' }
}

export async function http(person: Person, path: string, init: RequestInit = {}, base = office.url): Promise<unknown> {
  const headers = { Authorization: `Bearer ${person.token}`, ...init.headers }
  const response = await fetch(base + path, { ...init, headers })
  const body = (await response.json()) as { code?: string }
  if (!response.ok)
    throw Object.assign(new Error(`${path}: ${JSON.stringify(body)}`), {
      problem: { ...body, status: response.status },
    })
  return body
}

/** Wait until something is there, and answer it. */
export const wait = <T>(condition: () => T, timeout = 15_000): Promise<NonNullable<T>> =>
  vi.waitFor(
    () => {
      const found = condition()
      if (!found) throw new Error(`still waiting for ${condition.toString()}`)
      return found
    },
    { timeout, interval: 20 },
  )

/** End what this desk answers: a clerk has so many consultations at a time and no more. */
export async function closeAll(desk: ChatClient): Promise<void> {
  await wait(() => desk.status.online)
  const own = desk.list().filter(({ header }) => header?.state === 'active' && header.staff?.id === office.clerk.id)
  await Promise.all(own.map(({ conv }) => desk.close(conv)))
}

const open: { stop(): Promise<void> }[] = []

/** Stop every client and proxy of the test. */
export async function cleanUp(): Promise<void> {
  for (const each of open.splice(0)) await each.stop()
}

export async function proxy(): Promise<Proxy> {
  const found = await new Proxy(office.url).start()
  open.push(found)
  return found
}

/** A device of somebody; `area` is what it keeps through a reload. */
export function device(
  person: Person,
  {
    area = new Map(),
    through,
    Client = ChatClient,
    ...options
  }: { area?: Map<string, string>; through?: Proxy; Client?: typeof ChatClient } & Partial<ChatOptions> = {},
): ChatClient {
  const client = new Client({
    namespace: person.id === office.clerk.id || person.id === office.colleague.id ? '/clerk' : '/citizen',
    me: person,
    getTicket: async () => {
      const made = (await http(person, '/api/socket-tickets', { method: 'POST' })) as { ticket: string }
      return made.ticket
    },
    transport: socketIoTransport({ url: through?.url ?? office.url, timeout: 3_000 }),
    storage: memoryStorage(area),
    pauses: [20, 200],
    answerTimeout: 1_200,
    beatEvery: 400,
    ...options,
  })
  open.push(client)
  return client
}

export async function online(person: Person, options: Parameters<typeof device>[1] = {}): Promise<ChatClient> {
  const client = device(person, options)
  await client.start()
  await vi.waitFor(() => expect(client.status).toMatchObject({ online: true }), { timeout: 15_000, interval: 20 })
  return client
}

export function bubbles(client: ChatClient, conv: string): Bubble[] {
  return client.thread(conv).filter((item): item is Bubble => item.type === 'bubble')
}

export function texts(client: ChatClient, conv: string): string[] {
  return bubbles(client, conv).map((bubble) => bubble.content.text ?? '')
}

/** All these clients show exactly these texts, committed, in this order, and have what the server has. */
export async function expectAll(clients: [ChatClient, Person][], conv: string, expected: string[]): Promise<void> {
  for (const [client, person] of clients) {
    await vi.waitFor(
      () => {
        expect(texts(client, conv)).toEqual(expected)
        expect(client.view(conv).pending).toBe(0)
      },
      { timeout: 15_000, interval: 20 },
    )
    await expectFetched(client, person, client.resolve(conv))
  }
}

/** What the client folded equals what the server answers to somebody who asks for the first time. */
export async function expectFetched(client: ChatClient, person: Person, conv: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const { ops } = (await http(person, `/api/consultations/${conv}/ops?after=0`)) as { ops: Operation[] }
      expect(client.operations(conv).map(plain)).toEqual(ops.map(plain))
      const header = (await http(person, `/api/consultations/${conv}`)) as Record<string, unknown>
      expect(client.view(conv).header).toEqual(header)
    },
    { timeout: 10_000, interval: 50 },
  )
}

/** Over HTTP a skip has members with nothing in them. */
function plain(op: Operation): Partial<Operation> {
  const { v, conv, epoch, seq, kind } = op
  if (kind === 'skip') return { v, conv, epoch, seq, kind }
  return Object.fromEntries(Object.entries(op).filter(([, value]) => value !== null))
}
