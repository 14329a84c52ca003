/** Photographs: uploaded under one id however often the connection is cut, sent in their place. */
import { deflateSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'

import type { BlobStore, ChatClient, Upload } from '../src'
import {
  bubbles,
  cleanUp,
  closeAll,
  device,
  expectFetched,
  http,
  newCitizen,
  office,
  online,
  proxy,
  texts,
  wait,
} from './harness'
import type { Proxy } from './proxy'
import type { Person } from './server'

let citizen: Person
let through: Proxy
let area: Map<string, string>
let bytes: Map<string, unknown>
let phone: ChatClient
let desk: ChatClient
let conv: string
let attempts: string[]

const PHOTO = picture(120, 120)

beforeEach(async () => {
  citizen = await newCitizen()
  through = await proxy()
  area = new Map()
  bytes = new Map()
  attempts = []
  phone = await online(citizen, options())
  desk = await online(office.clerk)
  const { conv: local, done } = phone.open({ subject: '看照片', matter_id: office.matter_id, text: '您好' })
  await done
  conv = phone.resolve(local)
  await wait(() => texts(desk, conv).length === 1)
})
afterEach(async () => {
  await closeAll(desk)
  await cleanUp()
})

function options(blobStore: BlobStore | undefined = store()): Parameters<typeof device>[1] {
  return { area, upload, blobStore }
}

/** As IndexedDB keeps them. */
function store(): BlobStore {
  return {
    put: async (ref, data) => void bytes.set(ref, data),
    get: async (ref) => bytes.get(ref),
    remove: async (ref) => void bytes.delete(ref),
  }
}

const upload: Upload = async (photo, uploadId, onProgress, signal) => {
  attempts.push(uploadId)
  const form = new FormData()
  form.append('upload_id', uploadId)
  form.append('file', photo.data as Blob, photo.name)
  onProgress(0.5)
  const headers = { Connection: 'close' }
  await http(citizen, '/api/consultation-photos', { method: 'POST', body: form, signal, headers }, through.url)
}

function photo(): { data: Blob; name: string; mediaType: string } {
  return { data: new Blob([PHOTO], { type: 'image/png' }), name: '户口本.png', mediaType: 'image/png' }
}

/** The photograph is there once, before what was typed after it, and the clerk can open it. */
async function expectPhoto(client: ChatClient): Promise<void> {
  await wait(() => texts(desk, conv).length === 3 && client.view(conv).pending === 0)
  expect(texts(desk, conv)).toEqual(['您好', '', '这是照片'])
  expect(texts(client, conv)).toEqual(['您好', '', '这是照片'])
  expect(new Set(attempts).size).toBe(1)
  const [attached] = bubbles(desk, conv)[1]?.content.attachments ?? []
  expect(attached).toMatchObject({ upload_id: attempts[0], width: 120, height: 120 })
  const path = `/api/consultations/${conv}/attachments/${attached?.upload_id}`
  const seen = await fetch(office.url + path, { headers: { Authorization: `Bearer ${office.clerk.token}` } })
  expect(seen.status).toBe(200)
  await seen.arrayBuffer()
  await expectFetched(client, citizen, conv)
  await wait(() => bytes.size === 0)
}

test('a photograph is sent in its place and its progress shows', async () => {
  const shown = new Set<number>()
  phone.subscribe(() => {
    for (const { photos } of bubbles(phone, conv)) photos?.forEach(({ progress }) => shown.add(progress))
  })
  phone.sendPhoto(conv, photo())
  phone.send(conv, { text: '这是照片' })
  await expectPhoto(phone)
  expect([...shown]).toEqual(expect.arrayContaining([0.5, 1]))
})

const CUTS = [1, 400, 9_000, PHOTO.length - 10]

test.each(CUTS)('cut after %i bytes of the upload', async (cutAfterBytes) => {
  through.cutAfterBytes = cutAfterBytes
  phone.sendPhoto(conv, photo())
  phone.send(conv, { text: '这是照片' })
  await wait(() => through.cuts > 0)
  await expectPhoto(phone)
  expect(attempts.length).toBeGreaterThan(1)
})

test('with the answer to the upload lost', async () => {
  let lost = false
  through.down = (text) => {
    if (text !== 'HTTP' || lost) return 'pass'
    lost = true
    return 'cut-before'
  }
  phone.sendPhoto(conv, photo())
  phone.send(conv, { text: '这是照片' })
  await expectPhoto(phone)
  expect(attempts).toHaveLength(2)
})

test.each(CUTS)('cut after %i bytes and loaded anew', async (cutAfterBytes) => {
  through.cutAfterBytes = cutAfterBytes
  const sending = phone.sendPhoto(conv, photo())
  await Promise.all([sending.stored, phone.send(conv, { text: '这是照片' }).stored])
  await wait(() => through.cuts > 0)
  area = new Map(area)
  await phone.stop()
  phone = await online(citizen, options())
  await expectPhoto(phone)
})

test('loaded anew where nothing kept the bytes: it says so, and what follows goes on', async () => {
  through.refuse = true
  await phone.sendPhoto(conv, photo()).stored
  await phone.send(conv, { text: '还有一问' }).stored
  await wait(() => attempts.length > 0)
  area = new Map(area)
  bytes.clear()
  await phone.stop()
  through.heal()
  phone = await online(citizen, options())
  await wait(() => texts(desk, conv).includes('还有一问'))
  const failed = bubbles(phone, conv).at(-1)
  expect(failed).toMatchObject({ state: 'failed', problem: { code: 'photo-gone' } })
  failed?.discard()
  expect(texts(phone, conv)).toEqual(['您好', '还有一问'])
})

test('what is no photograph is refused for good', async () => {
  const { done } = phone.sendPhoto(conv, { data: new Blob(['x'.repeat(900)]), name: 'x.png' })
  await expect(done).rejects.toMatchObject({ name: 'ChatProblem' })
  expect(bubbles(phone, conv).at(-1)).toMatchObject({ state: 'failed' })
  expect(attempts).toHaveLength(1)
})

/** A PNG of noise: about three bytes a pixel (ISO 15948). */
function picture(width: number, height: number): Uint8Array<ArrayBuffer> {
  const rows = Buffer.alloc(height * (1 + width * 3))
  let noise = 1
  for (let i = 0; i < rows.length; i++) {
    noise = (noise * 48271) % 2147483647
    rows[i] = i % (1 + width * 3) === 0 ? 0 : noise & 0xff
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width, 0)
  head.writeUInt32BE(height, 4)
  head.set([8, 2, 0, 0, 0], 8)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(kind: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), data])
  const framed = Buffer.alloc(8 + body.length)
  framed.writeUInt32BE(data.length, 0)
  body.copy(framed, 4)
  framed.writeUInt32BE(crc32(body), 4 + body.length)
  return framed
}

function crc32(data: Buffer): number {
  let crc = ~0
  for (const byte of data) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}
