import type { paths } from './schema'
import { ApiProblem } from './problem'
import type { CallOptions, Input, Method, Output, PathsWith } from './types'

export interface WireRequest {
  method: Uppercase<Method>
  url: string
  headers: Record<string, string>
  body?: string
  signal?: AbortSignal
}

export interface WireResponse {
  status: number
  header(name: string): string | null
  text: string
}

/** Carries one request. Rejects only when no answer came. */
export type Transport = (request: WireRequest) => Promise<WireResponse>

export interface ApiOptions {
  /** Before every path: empty for the page's own origin. */
  base?: string
  transport: Transport
  /** The bearer token, where no cookie does it. */
  token?: () => string | null
  /** Called once for many calls refused with 401; true when there is a new token and they may be made again. */
  refresh?: () => Promise<boolean>
  /** Nobody is logged in any more. */
  onSessionEnded?: (problem: ApiProblem) => void
  /** Waits `ms`; given in tests. */
  pause?: (ms: number) => Promise<void>
}

type Loose = CallOptions & {
  path?: Record<string, unknown>
  query?: Record<string, unknown>
  body?: unknown
}

type Args<P extends keyof paths, M extends Method> =
  Partial<Input<P, M>> extends Input<P, M> ? [input?: Input<P, M>] : [input: Input<P, M>]

const RETRY_PAUSES = [400, 1500]
const RETRIED = new Set([0, 502, 503, 504])

/**
 * Typed calls of the server's HTTP interface: `await api.get('/api/cases/{case_id}', { path: { case_id } })`.
 *
 * Reads, and writes (each carries an Idempotency-Key), are repeated twice when no answer came. Rejects with `ApiProblem`.
 */
export class Api {
  private refreshing: Promise<boolean> | null = null

  constructor(private readonly options: ApiOptions) {}

  get<P extends PathsWith<'get'>>(path: P, ...[input]: Args<P, 'get'>): Promise<Output<P, 'get'>> {
    return this.call('get', path, input as Loose | undefined) as Promise<Output<P, 'get'>>
  }

  post<P extends PathsWith<'post'>>(path: P, ...[input]: Args<P, 'post'>): Promise<Output<P, 'post'>> {
    return this.call('post', path, input as Loose | undefined) as Promise<Output<P, 'post'>>
  }

  put<P extends PathsWith<'put'>>(path: P, ...[input]: Args<P, 'put'>): Promise<Output<P, 'put'>> {
    return this.call('put', path, input as Loose | undefined) as Promise<Output<P, 'put'>>
  }

  patch<P extends PathsWith<'patch'>>(path: P, ...[input]: Args<P, 'patch'>): Promise<Output<P, 'patch'>> {
    return this.call('patch', path, input as Loose | undefined) as Promise<Output<P, 'patch'>>
  }

  delete<P extends PathsWith<'delete'>>(path: P, ...[input]: Args<P, 'delete'>): Promise<Output<P, 'delete'>> {
    return this.call('delete', path, input as Loose | undefined) as Promise<Output<P, 'delete'>>
  }

  /** The address of a path, for links and pictures. */
  url(path: string, values: Record<string, unknown> = {}, query: Record<string, unknown> = {}): string {
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name])))
    const asked = queryString(query)
    return `${this.options.base ?? ''}${filled}${asked ? `?${asked}` : ''}`
  }

  /** The headers that say who asks, for uploads and downloads that do not go through here. */
  authorization(): Record<string, string> {
    const token = this.options.token?.()
    return token ? { Authorization: `Bearer ${token}` } : {}
  }

  /** Renew what says who we are, together with whoever asks at the same moment. */
  async renew(): Promise<boolean> {
    if (!this.options.refresh) return false
    this.refreshing ??= this.options.refresh().finally(() => {
      this.refreshing = null
    })
    return this.refreshing
  }

  private async call(method: Method, path: string, input: Loose = {}): Promise<unknown> {
    const request: WireRequest = {
      method: method.toUpperCase() as Uppercase<Method>,
      url: this.url(path, input.path, input.query),
      headers: { Accept: 'application/json' },
      signal: input.signal,
    }
    if (input.body !== undefined) {
      request.body = JSON.stringify(input.body)
      request.headers['Content-Type'] = 'application/json'
    }
    if (method === 'post') request.headers['Idempotency-Key'] = input.idempotencyKey ?? uuid()
    try {
      return await this.persist(request)
    } catch (error) {
      const ended = error instanceof ApiProblem && error.status === 401 && path !== '/api/citizen/login'
      if (!ended || path === '/api/staff/login' || path === '/api/citizen/refresh') throw error
      if (await this.renew()) return this.persist(request)
      this.options.onSessionEnded?.(error)
      throw error
    }
  }

  private async persist(request: WireRequest): Promise<unknown> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.once(request)
      } catch (error) {
        const wait = RETRY_PAUSES[attempt]
        const again = error instanceof ApiProblem && RETRIED.has(error.status)
        if (!again || wait === undefined || request.signal?.aborted) throw error
        await (this.options.pause ?? pause)(wait)
      }
    }
  }

  private async once(request: WireRequest): Promise<unknown> {
    let response: WireResponse
    try {
      response = await this.options.transport({
        ...request,
        headers: { ...request.headers, ...this.authorization() },
      })
    } catch (error) {
      if (request.signal?.aborted) throw error
      throw ApiProblem.network()
    }
    if (response.status >= 400 || response.status === 0) {
      throw ApiProblem.of(response.status, response.text, response.header('Retry-After'))
    }
    if (response.status === 204 || response.text === '') return undefined
    try {
      return JSON.parse(response.text)
    } catch {
      throw ApiProblem.of(502, response.text)
    }
  }
}

function queryString(query: Record<string, unknown>): string {
  const parts: string[] = []
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== '') {
        parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(String(one))}`)
      }
    }
  }
  return parts.join('&')
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** A random UUID (version 4) in lower case; also where `crypto` is missing, as in a mini-program. */
export function uuid(): string {
  const source = (globalThis as { crypto?: Crypto }).crypto
  const bytes = new Uint8Array(16)
  if (source?.getRandomValues) source.getRandomValues(bytes)
  else for (let i = 0; i < 16; i += 1) bytes[i] = Math.floor(Math.random() * 256)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** The browser's own way to carry a request; gives up after `timeout` milliseconds. */
export function fetchTransport(timeout = 20_000): Transport {
  return async ({ method, url, headers, body, signal }) => {
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), timeout)
    const stop = () => limit.abort()
    signal?.addEventListener('abort', stop)
    try {
      const response = await fetch(url, { method, headers, body, signal: limit.signal, credentials: 'same-origin' })
      return { status: response.status, header: (name) => response.headers.get(name), text: await response.text() }
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    }
  }
}
