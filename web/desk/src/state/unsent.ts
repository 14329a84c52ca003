/** Things that were typed or sent and are not with the server yet: whoever has some says how many. */
const counters: (() => number)[] = []

export function countUnsent(counter: () => number): void {
  counters.push(counter)
}

export function unsent(): number {
  return counters.reduce((sum, counter) => sum + counter(), 0)
}
