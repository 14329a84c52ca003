import type { GuideForm } from '../../parts/guide-editor/context'

/** A field that two people changed, each in their own way. */
export interface Clash {
  field: keyof GuideForm
  base: unknown
  mine: unknown
  theirs: unknown
}

export interface Merged {
  guide: GuideForm
  clashes: Clash[]
  /** Fields that only the others changed. */
  taken: (keyof GuideForm)[]
}

/** Both changes to `base` in one guide, field by field; where they clash it holds mine until somebody chooses. */
export function merge(base: GuideForm, mine: GuideForm, theirs: GuideForm): Merged {
  const guide = copy(mine)
  const clashes: Clash[] = []
  const taken: (keyof GuideForm)[] = []
  for (const field of Object.keys(theirs) as (keyof GuideForm)[]) {
    const [b, m, t] = [base[field], mine[field], theirs[field]].map((value) => JSON.stringify(value))
    if (t === b || t === m) continue
    if (m === b) {
      put(guide, field, theirs[field])
      taken.push(field)
    } else clashes.push({ field, base: base[field], mine: mine[field], theirs: theirs[field] })
  }
  return { guide, clashes, taken }
}

export function put(guide: GuideForm, field: keyof GuideForm, value: unknown): void {
  ;(guide as Record<string, unknown>)[field] = copy(value)
}

/** A guide is plain JSON, but lists of it may hold Vue's reactive proxies, which `structuredClone` refuses. */
function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}
