import { ref } from 'vue'
import { keep, kept } from './store'

const MOST = 10

/** What was searched for on this phone, the last one first. Stays on the phone. */
export const searches = ref<string[]>(kept<string[]>('searches') ?? [])

export function rememberSearch(text: string): void {
  searches.value = [text, ...searches.value.filter((one) => one !== text)].slice(0, MOST)
  keep('searches', searches.value)
}

/** Forget them; gives what was there, so that it can be put back. */
export function clearSearches(): string[] {
  const had = searches.value
  searches.value = []
  keep('searches', [])
  return had
}
