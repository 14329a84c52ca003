/** One connection after the other: tickets, attempts, the hello, questions and answers, beats. */
import type { Clock, TimerHandle } from './clock'
import { Pace } from './pace'
import { ChatProblem, LOCAL_PROBLEMS, problemOf, retryAfter, type Problem } from './problem'
import { PROTOCOL_VERSIONS, type Ack, type HelloAnswer, type Namespace } from './protocol'
import type { ChatSocket, Transport } from './transport'
import type { Status } from './types'

/** No answer came: the connection went away, or nothing was heard in time. */
export const LOST = Symbol('lost')
export type Answer = Record<string, unknown>

export interface ConnectionHooks {
  /** What the device has: consultation → [epoch, last number]. */
  cursors(): Record<string, [number, number]>
  greeted(answer: HelloAnswer): void
  /** After `greeted`: things may be sent. */
  online(): void
  offline(): void
  event(name: string, data: unknown): void
  ended(problem: Problem): void
  changed(): void
  /** What a beat says, and what its answer does. */
  beat(): Record<string, number>
  beaten(answer: { ahead: Record<string, number>; left: string[] }): void
}

export interface ConnectionOptions {
  namespace: Namespace
  device: string
  getTicket: () => Promise<string>
  transport: Transport
  clock: Clock
  random: () => number
  pauses: readonly [number, number]
  answerTimeout: number
  beatEvery: number
}

const SESSION_OVER = new Set(['session-ended', 'unauthenticated'])

export class Connection {
  readonly status: Status
  private socket: ChatSocket | null = null
  private attempt = 0
  private generation = 0
  private timer: TimerHandle | undefined
  private beatTimer: TimerHandle | undefined
  private started = false
  private asleep = false
  private lastHeard = 0
  private readonly pace: Pace
  private waiting = new Map<symbol, () => void>()

  constructor(
    private readonly options: ConnectionOptions,
    private readonly hooks: ConnectionHooks,
  ) {
    this.pace = new Pace(options.clock, options.random, options.pauses)
    this.status = {
      online: false,
      since: options.clock.now(),
      attempt: 0,
      nextTryAt: null,
      reason: 'stopped',
      problem: null,
      available: null,
      storageFailing: false,
    }
  }

  start(): void {
    if (this.started) return
    this.started = true
    this.asleep = false
    this.attempt = 0
    this.soonest()
  }

  /** Disconnect for good. */
  stop(reason: Status['reason'] = 'stopped'): void {
    this.started = false
    this.lose(reason)
  }

  /** The app went to the background: no connection, no attempts. */
  sleep(): void {
    if (!this.started) return
    this.asleep = true
    this.lose('sleeping')
  }

  /** The network or the app is back: try at once, or make sure that the connection lives. */
  wake(): void {
    if (!this.started) return
    this.asleep = false
    if (this.status.online) void this.beat()
    else if (this.socket === null && (this.timer !== undefined || this.status.reason === 'sleeping')) {
      this.attempt = 0
      this.soonest()
    }
  }

  /** Lose this connection and come back at once. */
  drop(): void {
    if (!this.status.online) return
    this.lose('network')
    this.connect()
  }

  /** Send an event once. `LOST` when no answer came; a connection from which nothing is heard is given up. */
  async ask(event: string, payload: unknown, timeout = this.options.answerTimeout): Promise<Ack | typeof LOST> {
    const socket = this.socket
    if (socket === null) return LOST
    const { clock } = this.options
    const generation = this.generation
    const asked = clock.now()
    return new Promise((resolve) => {
      const token = Symbol(event)
      const settle = (answer: Ack | typeof LOST): void => {
        if (!this.waiting.delete(token)) return
        clock.clearTimeout(timer)
        resolve(answer)
      }
      const timer = clock.setTimeout(() => {
        settle(LOST)
        if (generation === this.generation && this.lastHeard <= asked) this.drop()
      }, timeout)
      this.waiting.set(token, () => settle(LOST))
      socket.emit(event, payload, settle)
    })
  }

  /** Send an event without an answer, if there is a connection. */
  tell(event: string, payload: unknown): void {
    if (this.status.online) this.socket?.emit(event, payload)
  }

  /** Say hello (again). Throws `ChatProblem` when refused; false when no answer came. */
  async greet(cursors: Record<string, [number, number]>, rest: boolean): Promise<boolean> {
    const generation = this.generation
    const answer = await this.ask('hello', { cursors, rest })
    if (answer === LOST || generation !== this.generation) return false
    if (!answer.ok) throw new ChatProblem(answer.problem)
    const found = answer as unknown as HelloAnswer
    if (!PROTOCOL_VERSIONS.includes(found.v ?? 1)) throw new ChatProblem(LOCAL_PROBLEMS.tooOld)
    if (typeof found.available === 'boolean') this.status.available = found.available
    this.hooks.greeted(found)
    return true
  }

  /** Connect at once, unless the server asked to be left alone for some time that is not over. */
  private soonest(): void {
    const held = this.pace.held()
    if (held === 0) return this.connect()
    this.clear()
    this.set({ reason: 'refused' })
    this.after(held)
  }

  private connect(): void {
    this.clear()
    const generation = ++this.generation
    this.set({ reason: 'connecting', nextTryAt: null })
    void this.open(generation)
  }

  private async open(generation: number): Promise<void> {
    const { namespace, device, getTicket, transport } = this.options
    let ticket: string
    try {
      ticket = await this.within(getTicket(), 15_000)
    } catch (error) {
      if (generation !== this.generation) return
      const problem = problemOf(error)
      if (problem && (SESSION_OVER.has(problem.code) || problem.status === 401)) return this.end(problem)
      this.pace.hold(retryAfter(error))
      return this.fail(problem && problem.status !== 0 ? 'refused' : 'network', problem)
    }
    if (generation !== this.generation) return
    const mine = (): boolean => generation === this.generation
    const auth = { ticket, device, v: [...PROTOCOL_VERSIONS] }
    this.lastHeard = this.options.clock.now()
    this.socket = transport.open(
      { namespace, auth },
      {
        connected: () => mine() && void this.hello(generation),
        refused: (error) => mine() && this.refused(error),
        closed: () => mine() && this.closed(),
        heard: () => {
          if (mine()) this.lastHeard = this.options.clock.now()
        },
        event: (name, data, answer) => mine() && this.hear(name, data, answer),
      },
    )
  }

  private async hello(generation: number): Promise<void> {
    try {
      const done = await this.greet(this.hooks.cursors(), true)
      if (generation !== this.generation) return
      if (!done) return this.fail('network')
    } catch (error) {
      if (generation !== this.generation) return
      const problem = problemOf(error) ?? null
      if (problem?.code === 'unsupported-version') return this.outdated(problem)
      this.pace.hold(retryAfter(error))
      return this.fail('refused', problem)
    }
    this.attempt = 0
    this.pace.release()
    this.set({
      online: true,
      reason: null,
      problem: null,
      attempt: 0,
      nextTryAt: null,
      since: this.options.clock.now(),
    })
    this.hooks.online()
    this.later()
  }

  private refused(error: { code: string; data?: unknown }): void {
    const problem = problemOf({ problem: error.data }) ?? { code: error.code, title: '', status: 0, detail: '' }
    if (error.code === 'session-ended') return this.end(problem)
    if (error.code === 'unsupported-version') return this.outdated(problem)
    this.pace.hold(retryAfter({ problem }))
    this.fail('refused', problem)
  }

  private closed(): void {
    if (!this.status.online) return this.fail('network')
    this.lose('network')
    // the first attempt after a loss comes soon, but not from everybody at the same moment
    this.again()
  }

  private hear(name: string, data: unknown, answer: ((value: unknown) => void) | undefined): void {
    this.lastHeard = this.options.clock.now()
    if (name === 'presence:ping') return answer?.({})
    if (name === 'kick') {
      const { code, retry_after } = (data ?? {}) as { code?: string; retry_after?: unknown }
      if (code === 'session-ended') {
        return this.end({ code, title: '登录已失效', status: 401, detail: '登录已失效，请重新登录。' })
      }
      this.pace.hold(retry_after)
      return this.closed()
    }
    this.hooks.event(name, data)
  }

  /** No version is common: no attempt helps until this program is a newer one. */
  private outdated(problem: Problem): void {
    this.status.problem = problem
    this.stop('unsupported-version')
  }

  private end(problem: Problem): void {
    this.stop('session-ended')
    this.hooks.ended(problem)
  }

  private fail(reason: 'network' | 'refused', problem: Problem | null = null): void {
    this.attempt += 1
    this.status.problem = problem
    this.lose(reason)
    this.again()
  }

  private again(): void {
    if (!this.started || this.asleep) return
    this.after(this.pace.pause(this.attempt))
  }

  private after(pause: number): void {
    this.timer = this.options.clock.setTimeout(() => this.connect(), pause)
    this.set({ nextTryAt: this.options.clock.now() + pause })
  }

  private lose(reason: Status['reason']): void {
    this.generation += 1
    this.clear()
    const was = this.status.online
    this.socket?.close()
    this.socket = null
    const since = was ? this.options.clock.now() : this.status.since
    this.set({ online: false, reason, since, attempt: this.attempt, nextTryAt: null })
    for (const settle of [...this.waiting.values()]) settle()
    if (was) this.hooks.offline()
  }

  private clear(): void {
    if (this.timer !== undefined) this.options.clock.clearTimeout(this.timer)
    if (this.beatTimer !== undefined) this.options.clock.clearTimeout(this.beatTimer)
    this.timer = this.beatTimer = undefined
  }

  private later(): void {
    this.beatTimer = this.options.clock.setTimeout(() => void this.beat(), this.options.beatEvery)
  }

  private async beat(): Promise<void> {
    const generation = this.generation
    if (this.beatTimer !== undefined) this.options.clock.clearTimeout(this.beatTimer)
    const answer = await this.ask('beat', { convs: this.hooks.beat() })
    if (generation !== this.generation || !this.status.online) return
    if (answer !== LOST && answer.ok) {
      this.hooks.beaten(answer as unknown as { ahead: Record<string, number>; left: string[] })
    }
    if (generation === this.generation) this.later()
  }

  private set(changes: Partial<Status>): void {
    Object.assign(this.status, changes)
    this.hooks.changed()
  }

  private async within<T>(work: Promise<T>, timeout: number): Promise<T> {
    const { clock } = this.options
    let timer: TimerHandle
    const late = new Promise<never>((_, reject) => {
      timer = clock.setTimeout(() => reject(new Error('timeout')), timeout)
    })
    return Promise.race([work, late]).finally(() => clock.clearTimeout(timer))
  }
}
