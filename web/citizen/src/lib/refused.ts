import type { Refused } from '@banshi/chat'
import { citizenChat } from '@banshi/words'
import { say } from './language'
import { keep, kept } from './store'
import { toast } from './tell'

/** Where what is written in a consultation and not sent is kept. */
export const written = (conv: string): string => `say:${conv}`

const fields = new Set<(conv: string) => void>()

/** Be told of words that came back to what is written in a consultation. Returns how to stop. */
export function onGivenBack(listener: (conv: string) => void): () => void {
  fields.add(listener)
  return () => void fields.delete(listener)
}

/**
 * A change of a message that was refused has no bubble to say so: why is told, and the words of an edit are what is
 * being written now. After a reload too: nobody waits for it any more then.
 */
export function giveBack({ conv, kind, text, problem }: Refused): void {
  const why = problem.detail || problem.title
  if (kind !== 'edit' || !text) return toast(why, 4000)
  const now = kept<string>(written(conv)) ?? ''
  // another tab may have put them there already
  const there = now === text || now.endsWith(`\n${text}`)
  if (!there && !keep(written(conv), [now, text].filter(Boolean).join('\n'))) return toast(why, 4000)
  fields.forEach((show) => show(conv))
  toast(say(citizenChat).editRefused(why), 4000)
}
