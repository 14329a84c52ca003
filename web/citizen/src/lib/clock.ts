import { ref } from 'vue'

/** How many milliseconds the server's clock is ahead of this phone's, which may be wrong by days. */
const ahead = ref(0)

/** The server has just said what time it is; `asked` is when it was asked, by this phone's clock. */
export function learnTime(serverTime: string, asked: number): void {
  const there = Date.parse(serverTime)
  if (!Number.isNaN(there)) ahead.value = there - (asked + Date.now()) / 2
}

/** The time, in milliseconds: what dates on a page are counted from. */
export function rightNow(): number {
  return Date.now() + ahead.value
}
