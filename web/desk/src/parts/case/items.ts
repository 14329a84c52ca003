import { deskCases } from '@banshi/words'
import { wordsOf } from '../../language'
import type { Guide } from '../../state/guides'
import type { DeskCase, Item } from './types'

const t = wordsOf(deskCases).materials

/** Everything of a case that is looked at: what the guide asks in these situations first, then what was filled in. */
export function itemsOf(detail: DeskCase, guide: Guide | null): Item[] {
  const pages = new Map(detail.materials.map((slot) => [slot.key, slot.page_ids]))
  const materials = detail.checklist
    .map(
      (line): Item => ({
        key: line.key,
        name: line.name,
        pages: pages.get(line.key) ?? [],
        requirement: guide?.guide.materials.find((one) => one.key === line.key),
        necessity: line.necessity,
        asked: line.asked,
        part: false,
      }),
    )
    .sort((a, b) => Number(b.asked) - Number(a.asked))
  const parts = ['applicant', ...(detail.agent ? ['agent'] : []), 'form'].map(
    (key): Item => ({
      key,
      name: t.parts[key]!,
      pages: [],
      asked: true,
      part: true,
    }),
  )
  return [...materials, ...parts]
}
