/** When to come back: chance spreads those who lost a server together, and the server may say when. Milliseconds. */
import type { Clock } from './clock'

/** Of what the server asked for, so that those who were told the same do not come in step. */
const SPREAD = 0.2

export class Pace {
  private heldFrom = 0
  private heldFor = 0

  constructor(
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly pauses: readonly [number, number],
  ) {}

  /** The server wants to be left alone for so many seconds (fractions too); anything else is no such wish. */
  hold(seconds: unknown): void {
    if (typeof seconds !== 'number' || !(seconds > 0) || !Number.isFinite(seconds)) return
    this.heldFrom = this.clock.now()
    this.heldFor = seconds * 1_000 * (1 + SPREAD * this.random())
  }

  /** It answered: what it asked for is over. */
  release(): void {
    this.heldFor = 0
  }

  /** What is left of what the server asked for; never more than that, wherever the clock was put meanwhile. */
  held(): number {
    const gone = this.clock.now() - this.heldFrom
    return gone < 0 ? this.heldFor : Math.max(0, this.heldFor - gone)
  }

  /**
   * The pause before the next attempt, `failed` attempts after the loss: what the server asked for, else any time up to
   * the first pause doubled for each failure ("full jitter").
   */
  pause(failed: number): number {
    const held = this.held()
    if (held > 0) return held
    const [first, longest] = this.pauses
    return Math.min(longest, first * 2 ** failed) * this.random()
  }
}
