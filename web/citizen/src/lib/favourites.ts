import { ref } from 'vue'
import { keep, kept } from './store'

/** A matter this phone remembers, by its name when it was last seen. */
export interface Remembered {
  id: string
  name: string
}

const MOST_FAVOURITES = 100
const MOST_SEEN = 12

export const favourites = ref<Remembered[]>(kept<Remembered[]>('favourites') ?? [])
/** Guides read on this phone, the last one first. */
export const seen = ref<Remembered[]>(kept<Remembered[]>('seen') ?? [])

export function isFavourite(id: string): boolean {
  return favourites.value.some((one) => one.id === id)
}

/** Keep a matter at hand, or no longer; true when it is now. */
export function toggleFavourite(matter: Remembered): boolean {
  const rest = favourites.value.filter((one) => one.id !== matter.id)
  const added = rest.length === favourites.value.length
  favourites.value = added ? [matter, ...rest].slice(0, MOST_FAVOURITES) : rest
  keep('favourites', favourites.value)
  return added
}

export function rememberSeen(matter: Remembered): void {
  seen.value = [matter, ...seen.value.filter((one) => one.id !== matter.id)].slice(0, MOST_SEEN)
  keep('seen', seen.value)
}
