import { createServer } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'

import { socketIoTransport, wxWebSocket, type Operation, type SocketTask } from '../src'
import { latestFirst } from '../src/conversations'
import { firstMessageCid, newCid, uuid5 } from '../src/ids'
import { LocalLog } from '../src/log'
import { Pace } from '../src/pace'
import { cleanUp, expectAll, newCitizen, office, online, texts, wait } from './harness'

afterEach(cleanUp)

test('ids are UUIDs as the server makes and takes them', () => {
  // RFC 9562, appendix A.4, and backend.domain.ids.derived_id("first-message", …)
  expect(uuid5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2')
  expect(firstMessageCid('01919c6e-7f2b-7c3a-9a51-2f6d1c0b7e11')).toBe('e4db62b3-1573-5aef-8be5-6fd41f035d35')
  expect(newCid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(newCid(() => 0.999)).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff')
})

test('a log applies numbers in order, keeps the later ones aside and drops doubles', () => {
  const log = new LocalLog('c')
  const op = (seq: number, epoch = 1): Operation => ({ v: 1, conv: 'c', epoch, seq, kind: 'skip' })
  expect(log.add(op(1))).toHaveLength(1)
  expect(log.add(op(3))).toEqual([])
  expect(log.gap).toBe(true)
  expect(log.add(op(2)).map((each) => each.seq)).toEqual([2, 3])
  expect(log.add(op(2))).toEqual([])
  expect([log.seq, log.gap]).toEqual([3, false])
  log.add(op(1, 2))
  expect([log.seq, log.epoch]).toEqual([1, 2])
})

test('what is followed and the latest are named first', () => {
  const all = ['a', 'b', 'c', 'd'].map((conv, i) => ({ conv, at: i === 1 ? 9 : i }))
  expect(latestFirst(all, new Set(['a', 'c'])).map(({ conv }) => conv)).toEqual(['c', 'a', 'b', 'd'])
})

test('who lost a server together comes back spread out, and not before the server wants it', () => {
  let now = 1_000_000
  let chance = 0
  const clock = { now: () => now, setTimeout: () => 0, clearTimeout: () => undefined }
  const pace = new Pace(clock, () => chance, [1_000, 30_000])
  const spread = (failed: number): number[] => [0, 0.5, 1].map((each) => ((chance = each), pace.pause(failed)))
  expect(spread(0)).toEqual([0, 500, 1_000])
  expect(spread(2)).toEqual([0, 2_000, 4_000])
  expect(spread(99)).toEqual([0, 15_000, 30_000])
  for (const [each, wanted] of [
    [0, 12_500],
    [1, 15_000],
  ] as const) {
    chance = each
    pace.hold(12.5)
    expect([pace.held(), pace.pause(3)]).toEqual([wanted, wanted])
  }
  now += 5_000
  expect(pace.held()).toBe(10_000)
  now -= 3_600_000 // the device's clock was put back: never longer than it was asked for
  expect(pace.held()).toBe(15_000)
  now += 7_200_000
  expect(pace.held()).toBe(0)
  for (const nonsense of ['9', -1, NaN, Infinity, null, undefined]) pace.hold(nonsense)
  expect(pace.held()).toBe(0)
  pace.hold(5)
  pace.release()
  expect(pace.held()).toBe(0)
})

/** `wx.connectSocket` as WeChat documents it, over a real connection. */
function connectSocket({ url }: { url: string }): SocketTask {
  const socket = new WebSocket(url)
  return {
    send: ({ data, fail }) => socket.send(data, (error) => error && fail?.({ errMsg: error.message })),
    close: ({ code, reason }) => socket.close(code ?? 1000, reason),
    onOpen: (listener) => void socket.on('open', listener),
    onMessage: (listener) =>
      void socket.on('message', (data, binary) => listener({ data: binary ? new ArrayBuffer(0) : String(data) })),
    onError: (listener) => void socket.on('error', (error) => listener({ errMsg: error.message })),
    onClose: (listener) => void socket.on('close', (code, reason) => listener({ code, reason: String(reason) })),
  }
}

test('the whole protocol works over the sockets of a mini-program', async () => {
  const citizen = await newCitizen()
  const transport = socketIoTransport({ url: office.url, WebSocket: wxWebSocket(connectSocket) })
  const phone = await online(citizen, { transport })
  const { conv, done } = phone.open({ subject: '小程序', matter_id: office.matter_id, text: '您好' })
  await done
  await phone.send(conv, { text: '在吗' }).done
  await expectAll([[phone, citizen]], conv, ['您好', '在吗'])
  await phone.close(conv)
  phone.sleep()
  phone.wake()
  await wait(() => phone.status.online)
  expect(texts(phone, conv)).toEqual(['您好', '在吗'])
})

test('a mini-program socket says that it opened, what came, and that it is gone', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await new Promise((resolve) => server.once('listening', resolve))
  server.on('connection', (socket) => socket.on('message', (data) => socket.send(`${String(data)}!`)))
  const { port } = server.address() as { port: number }
  const socket = new (wxWebSocket(connectSocket))(`ws://127.0.0.1:${port}`)
  const heard: unknown[] = []
  socket.onopen = () => socket.send('你好')
  socket.onmessage = (event: { data: string }) => void heard.push(event.data)
  socket.onclose = () => void heard.push('closed')
  expect(() => socket.send('zu früh')).toThrow()
  await vi.waitFor(() => expect(heard).toEqual(['你好!']))
  for (const client of server.clients) client.terminate()
  await vi.waitFor(() => expect(heard).toEqual(['你好!', 'closed']))
  server.close()
})

test('a mini-program socket that cannot connect fails once', async () => {
  const silent = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as { port: number }
  const socket = new (wxWebSocket(connectSocket))(`ws://127.0.0.1:${port}`)
  const heard: string[] = []
  socket.onerror = () => void heard.push('error')
  socket.onclose = () => void heard.push('closed')
  await vi.waitFor(() => expect(heard).toEqual(['error', 'closed']))
  silent.close()
})
