/** A TCP proxy that sees WebSocket frames as text and can cut, swallow, drop and delay. */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'

export type Fate = 'pass' | 'drop' | 'cut-before' | 'cut-after' | 'swallow'

/** Decides what becomes of each frame, `text` as Engine.IO wrote it. */
export type Decide = (text: string) => Fate

const pass: Decide = () => 'pass'

export class Proxy {
  up: Decide = pass
  down: Decide = pass
  /** Connections are closed as soon as they come. */
  refuse = false
  /** Cut after so many bytes from the client, once. */
  cutAfterBytes: number | undefined
  /** Milliseconds each piece waits, either way. */
  delay = 0
  /** Connections that were let through. */
  connections = 0
  cuts = 0
  private server: Server | undefined
  private readonly pairs = new Set<Pair>()

  constructor(private readonly target: string) {}

  async start(): Promise<this> {
    this.server = createServer((client) => this.accept(client))
    await new Promise<void>((resolve) => this.server?.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server?.address() as AddressInfo).port}`
  }

  /** Everything passes again. Connections that are swallowed stay so. */
  heal(): void {
    this.up = this.down = pass
    this.refuse = false
    this.cutAfterBytes = undefined
    this.delay = 0
  }

  cutAll(): void {
    for (const pair of [...this.pairs]) pair.cut()
  }

  async stop(): Promise<void> {
    this.cutAll()
    await new Promise((resolve) => this.server?.close(resolve))
  }

  private accept(client: Socket): void {
    if (this.refuse) {
      client.destroy()
      return
    }
    this.connections += 1
    const { hostname, port } = new URL(this.target)
    const pair = new Pair(this, client, connect(Number(port), hostname))
    this.pairs.add(pair)
    pair.closed = () => this.pairs.delete(pair)
  }
}

class Pair {
  closed: () => void = () => undefined
  private swallowing = false
  private sent = 0
  private gone = false

  constructor(
    private readonly proxy: Proxy,
    private readonly client: Socket,
    private readonly server: Socket,
  ) {
    const up = new Frames((text) => proxy.up(text))
    const down = new Frames((text) => proxy.down(text))
    client.on('data', (data) => this.forward(up, this.limit(data), server))
    server.on('data', (data) => this.forward(down, data, client))
    for (const socket of [client, server]) {
      socket.on('error', () => this.cut())
      socket.on('close', () => !this.swallowing && this.cut())
    }
  }

  cut(): void {
    if (this.gone) return
    this.gone = true
    this.client.destroy()
    this.server.destroy()
    this.closed()
  }

  private limit(data: Buffer): Buffer {
    const most = this.proxy.cutAfterBytes
    if (most === undefined) return data
    const rest = data.subarray(0, Math.max(0, most - this.sent))
    this.sent += rest.length
    if (this.sent >= most) {
      this.proxy.cutAfterBytes = undefined
      this.proxy.cuts += 1
      this.server.write(rest, () => this.cut())
      return Buffer.alloc(0)
    }
    return rest
  }

  private forward(frames: Frames, data: Buffer, to: Socket): void {
    if (this.swallowing) return
    for (const { bytes, fate } of frames.take(data)) {
      if (this.gone || this.swallowing) return
      if (fate === 'swallow') this.swallowing = true
      if (fate === 'cut-before') this.cut()
      if (fate !== 'pass' && fate !== 'cut-after') {
        this.proxy.cuts += 1
        continue
      }
      const then = fate === 'cut-after' ? () => this.cut() : undefined
      if (then) this.proxy.cuts += 1
      if (this.proxy.delay === 0) to.write(bytes, then)
      else setTimeout(() => !this.gone && to.write(bytes, then), this.proxy.delay)
    }
  }
}

/** Splits one direction of a connection: HTTP's head and bodies as they come, then WebSocket frames. */
class Frames {
  private rest = Buffer.alloc(0)
  private upgraded = false

  constructor(private readonly decide: Decide) {}

  *take(data: Buffer): Generator<{ bytes: Buffer; fate: Fate }> {
    this.rest = Buffer.concat([this.rest, data])
    if (!this.upgraded) {
      const end = this.rest.indexOf('\r\n\r\n')
      const head = end < 0 ? '' : this.rest.subarray(0, end).toString('latin1').toLowerCase()
      const bytes = head.includes('upgrade: websocket') ? this.rest.subarray(0, end + 4) : this.rest
      this.upgraded = bytes !== this.rest
      if (!this.upgraded && head.includes('upgrade: websocket')) this.upgraded = true
      this.rest = this.rest.subarray(bytes.length)
      if (bytes.length > 0) yield { bytes, fate: this.decide(this.upgraded ? 'HTTP upgrade' : 'HTTP') }
    }
    while (this.upgraded) {
      const frame = this.frame()
      if (!frame) return
      yield frame
    }
  }

  /** The next whole frame (RFC 6455, 5.2). */
  private frame(): { bytes: Buffer; fate: Fate } | undefined {
    const data = this.rest
    if (data.length < 2) return undefined
    const masked = ((data[1] ?? 0) & 0x80) !== 0
    let length = (data[1] ?? 0) & 0x7f
    let at = 2
    if (length === 126) {
      if (data.length < 4) return undefined
      length = data.readUInt16BE(2)
      at = 4
    } else if (length === 127) {
      if (data.length < 10) return undefined
      length = Number(data.readBigUInt64BE(2))
      at = 10
    }
    const mask = masked ? data.subarray(at, at + 4) : undefined
    if (masked) at += 4
    if (data.length < at + length) return undefined
    const body = Buffer.from(data.subarray(at, at + length))
    if (mask) body.forEach((byte, i) => (body[i] = byte ^ (mask[i % 4] ?? 0)))
    const bytes = data.subarray(0, at + length)
    this.rest = data.subarray(at + length)
    const text = ((data[0] ?? 0) & 0x0f) === 1 ? body.toString() : ''
    return { bytes, fate: text ? this.decide(text) : 'pass' }
  }
}
