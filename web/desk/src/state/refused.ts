import type { Refused } from '@banshi/chat'
import { deskChat } from '@banshi/words'
import { ElMessage } from 'element-plus'
import { wordsOf } from '../language'
import { onRefused, viewOf } from './chat'
import { keepDraft, readDraft } from './drafts'

const t = wordsOf(deskChat)
const composers = new Set<(conv: string) => boolean>()

/** Be told of words that came back to the draft of a consultation; say whether they are in sight. Returns how to stop. */
export function onGivenBack(listener: (conv: string) => boolean): () => void {
  composers.add(listener)
  return () => void composers.delete(listener)
}

/** Says whether the words are in the draft now: where nothing more can be stored, only the notice has them. */
function putIntoDraft(conv: string, text: string): boolean {
  const draft = readDraft(conv)
  // another tab may have put them there already
  if (draft.text === text || draft.text.endsWith(`\n${text}`)) return true
  try {
    keepDraft(conv, { ...draft, text: [draft.text, text].filter(Boolean).join('\n') })
    return true
  } catch {
    return false
  }
}

/** A change that was refused has no bubble to say so: its words go to the draft and why is told, after a reload too. */
function giveBack({ conv, kind, text, problem }: Refused): void {
  const why = problem.detail || problem.title
  const who = viewOf(conv)?.header?.citizen.name || t.citizen
  if (kind !== 'edit' || text === undefined) {
    ElMessage.warning({ message: t.compose.recallRefusedOf(who, why), duration: 10_000, showClose: true })
    return
  }
  const kept = putIntoDraft(conv, text)
  if (kept && [...composers].some((shows) => shows(conv))) {
    ElMessage.warning(t.compose.editRefused(why))
  } else {
    // whoever looks elsewhere, or comes back to a page that was reloaded, closes it when it is read
    ElMessage.warning({ message: t.compose.editRefusedOf(who, why, text, kept), duration: 0, showClose: true })
  }
}

onRefused(giveBack)
