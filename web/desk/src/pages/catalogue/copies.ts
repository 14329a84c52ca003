import type { GuideForm } from '../../parts/guide-editor/context'
import { session } from '../../state/session'

/** What was written on this computer and is not with the server, beside what it began from. */
export interface Copy {
  base: GuideForm
  guide: GuideForm
}

function key(matterId: string): string {
  return `banshi.desk.guide.${session.me?.id}.${matterId}`
}

export function readCopy(matterId: string): Copy | null {
  try {
    const kept = JSON.parse(localStorage.getItem(key(matterId)) ?? 'null') as Copy | null
    return kept?.guide && kept.base ? kept : null
  } catch {
    return null
  }
}

/** False when this computer has no room left. */
export function keepCopy(matterId: string, copy: Copy): boolean {
  try {
    localStorage.setItem(key(matterId), JSON.stringify(copy))
    return true
  } catch {
    return false
  }
}

export function forgetCopy(matterId: string): void {
  localStorage.removeItem(key(matterId))
}
