/** What this phone keeps of a person: gone when they log out, and before somebody else logs in. */
import { dropAllPhotos } from './outbox-storage'
import { forget, keep, kept, keptKeys, PREFIX, removeKey } from './store'

/** Typed, photographed or answered, and not on the server yet. */
const UNSENT = ['draft:', 'pages:', 'answers:', 'say:', 'ask:', 'name-draft']
/** Keys of intentions; they say nothing, but belong to the person all the same. */
const INTENTIONS = ['begin:', 'submit:', 'withdraw:', 'resubmit:']
/** The consultation client keeps its own things under this name, what is on its way under `:out:`. */
const CHAT = 'banshi-chat:'
const OWNER = 'owner'

/** Whether something would be lost if it were erased now. */
export function anythingUnsent(): boolean {
  return keptKeys().some(
    (key) => UNSENT.some((begin) => key.startsWith(PREFIX + begin)) || (key.startsWith(CHAT) && key.includes(':out:')),
  )
}

/** Erase all of it. Settings, favourites, ticks and searches are the phone's and stay. */
export async function erasePrivate(): Promise<void> {
  const begins = [...[...UNSENT, ...INTENTIONS].map((begin) => PREFIX + begin), CHAT]
  for (const key of keptKeys()) if (begins.some((begin) => key.startsWith(begin))) removeKey(key)
  forget(OWNER)
  await dropAllPhotos()
}

/** This person is logged in: what another one left here is erased first. */
export async function makeRoomFor(citizenId: string): Promise<void> {
  const before = kept<string>(OWNER)
  if (before && before !== citizenId) await erasePrivate()
  keep(OWNER, citizenId)
}
