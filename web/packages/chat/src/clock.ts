/** Time and chance from outside, so that tests can hold them. Milliseconds throughout. */
export type TimerHandle = unknown

export interface Clock {
  now(): number
  setTimeout(work: () => void, after: number): TimerHandle
  clearTimeout(handle: TimerHandle): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (work, after) => setTimeout(work, after),
  clearTimeout: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
}
