/** The socket underneath: official socket.io-client, one connection per call, no reconnection of its own. */
import { WebSocket as BrowserWS } from 'engine.io-client'
import { io } from 'socket.io-client'

import type { Ack, Namespace } from './protocol'

export interface SocketHandlers {
  /** The namespace is joined; `hello` may be sent. */
  connected(): void
  /** The server refused: `data` is its problem. No further call follows. */
  refused(error: { code: string; data?: unknown }): void
  /** The connection is gone, or never came. No further call follows. */
  closed(reason: string): void
  event(name: string, data: unknown, answer: ((value: unknown) => void) | undefined): void
  /** Something arrived, if only a ping. */
  heard(): void
}

export interface ChatSocket {
  emit(event: string, payload: unknown, answered?: (ack: Ack) => void): void
  /** No handler is called afterwards. */
  close(): void
}

export interface Transport {
  open(target: { namespace: Namespace; auth: Record<string, unknown> }, handlers: SocketHandlers): ChatSocket
}

/** The part of the browser's `WebSocket` that Engine.IO uses. */
export interface WebSocketLike {
  binaryType: string
  onopen: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
  send(data: string | ArrayBuffer): void
  close(code?: number, reason?: string): void
}

export interface SocketIoOptions {
  /** The server's origin, such as `https://banshi.example.cn`; empty for that of the page. */
  url?: string
  path?: string
  /** Another WebSocket than the platform's: see `wxWebSocket`. */
  WebSocket?: new (url: string) => WebSocketLike
  /** Milliseconds in which the handshake must be done. */
  timeout?: number
}

type EngineTransport = typeof BrowserWS

function engineTransport(Socket: new (url: string) => WebSocketLike): EngineTransport {
  return class extends BrowserWS {
    override createSocket(uri: string): WebSocketLike {
      return new Socket(uri)
    }

    override doWrite(_packet: unknown, data: string | ArrayBuffer): void {
      ;(this as unknown as { ws: WebSocketLike }).ws.send(data)
    }
  }
}

/** The default transport. */
export function socketIoTransport(options: SocketIoOptions = {}): Transport {
  const transports = options.WebSocket ? [engineTransport(options.WebSocket)] : ['websocket']
  return {
    open({ namespace, auth }, handlers) {
      const socket = io(`${options.url ?? ''}${namespace}`, {
        path: options.path ?? '/socket.io/',
        transports,
        auth,
        forceNew: true,
        multiplex: false,
        reconnection: false,
        autoConnect: false,
        timeout: options.timeout ?? 10_000,
      })
      let over = false
      const finish = (tell: () => void): void => {
        if (over) return
        over = true
        socket.removeAllListeners()
        socket.io.removeAllListeners()
        socket.disconnect()
        tell()
      }
      socket.io.on('open', () => socket.io.engine.on('packet', () => !over && handlers.heard()))
      socket.on('connect', () => handlers.connected())
      socket.on('connect_error', (error: Error & { data?: unknown }) => {
        // the server's own refusal has its problem as `data`; anything else is the network
        const refusal = typeof error.data === 'object' && error.data !== null
        finish(() =>
          refusal ? handlers.refused({ code: error.message, data: error.data }) : handlers.closed(error.message),
        )
      })
      socket.on('disconnect', (reason) => finish(() => handlers.closed(reason)))
      socket.onAny((name: string, ...args: unknown[]) => {
        const last = args[args.length - 1]
        const answer = typeof last === 'function' ? (last as (value: unknown) => void) : undefined
        handlers.event(name, args.length > (answer ? 1 : 0) ? args[0] : undefined, answer)
      })
      socket.connect()
      return {
        emit: (event, payload, answered) => {
          if (over || !socket.connected) return
          if (answered) socket.emit(event, payload, answered)
          else socket.emit(event, payload)
        },
        close: () => finish(() => undefined),
      }
    },
  }
}
