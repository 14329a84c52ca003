/** A WebSocket over `wx.connectSocket` / `uni.connectSocket`, as far as Engine.IO uses one. */
import type { WebSocketLike } from './transport'

/** The part of `SocketTask` that is used; the same in WeChat and in uni-app. */
export interface SocketTask {
  send(options: { data: string | ArrayBuffer; fail?: (error: { errMsg: string }) => void }): void
  close(options: { code?: number; reason?: string }): void
  onOpen(listener: () => void): void
  onMessage(listener: (message: { data: string | ArrayBuffer }) => void): void
  onError(listener: (error: { errMsg: string }) => void): void
  onClose(listener: (event: { code?: number; reason?: string }) => void): void
}

export type ConnectSocket = (options: {
  url: string
  /** uni-app gives the task back only when a callback is given; else a promise. */
  complete?: () => void
  fail?: (error: { errMsg: string }) => void
}) => SocketTask | undefined

/** The class to give to `socketIoTransport`: `WebSocket: wxWebSocket(uni.connectSocket)`. */
export function wxWebSocket(connectSocket: ConnectSocket): new (url: string) => WebSocketLike {
  return class WxWebSocket implements WebSocketLike {
    binaryType = 'arraybuffer'
    onopen: ((event: never) => void) | null = null
    onclose: ((event: never) => void) | null = null
    onmessage: ((event: never) => void) | null = null
    onerror: ((event: never) => void) | null = null
    private readonly task: SocketTask | undefined
    private state: 'opening' | 'open' | 'closed' = 'opening'

    constructor(url: string) {
      const fail = (error: { errMsg: string }): void => this.failed(error.errMsg)
      this.task = connectSocket({ url, complete: () => undefined, fail })
      if (!this.task) {
        void Promise.resolve().then(() => this.failed('no socket'))
        return
      }
      this.task.onOpen(() => {
        if (this.state !== 'opening') return
        this.state = 'open'
        this.call(this.onopen, {})
      })
      this.task.onMessage(({ data }) => {
        if (this.state === 'open') this.call(this.onmessage, { data })
      })
      this.task.onError(fail)
      this.task.onClose((event) => this.closed(event))
    }

    send(data: string | ArrayBuffer): void {
      if (this.state !== 'open') throw new Error('the socket is not open')
      this.task?.send({ data, fail: (error) => this.failed(error.errMsg) })
    }

    close(code = 1000, reason = ''): void {
      if (this.state === 'closed') return
      const early = this.state === 'opening'
      this.state = 'closed'
      // a task that is still connecting cannot be closed: it is when it opens
      if (early) this.task?.onOpen(() => this.task?.close({ code, reason }))
      this.task?.close({ code, reason })
      void Promise.resolve().then(() => this.call(this.onclose, { code, reason }))
    }

    private failed(reason: string): void {
      if (this.state === 'closed') return
      this.call(this.onerror, { message: reason })
      this.closed({ reason })
      this.task?.close({})
    }

    private closed(event: { code?: number; reason?: string }): void {
      if (this.state === 'closed') return
      this.state = 'closed'
      this.call(this.onclose, event)
    }

    /** Handlers want the browser's events; Engine.IO reads `data` alone. */
    private call(handler: ((event: never) => void) | null, event: object): void {
      handler?.(event as never)
    }
  }
}
