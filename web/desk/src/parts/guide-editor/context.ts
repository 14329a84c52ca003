import type { Schemas } from '@banshi/api'
import { computed, inject, type ComputedRef, type InjectionKey } from 'vue'

export type GuideForm = Schemas['GuideForm']
export type Material = Schemas['MaterialForm']
export type Limit = Schemas['LimitForm']
export type Problem = Pick<Schemas['GuideProblemView'], 'field' | 'detail' | 'severity'>

interface GuideContext {
  /** What is wrong with the guide, by the path of the field. */
  problems: ComputedRef<Problem[]>
  readOnly: ComputedRef<boolean>
}

/** What the fields of a guide know of the page around them. */
export const guideContext: InjectionKey<GuideContext> = Symbol('guide')

export function useGuide(): GuideContext {
  return inject(guideContext, { problems: computed(() => []), readOnly: computed(() => false) })
}

/** Bring a field into view and put the cursor in it: the field of this path, or the nearest part that holds it. */
export function goToField(path: string): void {
  for (let at = path; at; at = at.includes('.') ? at.slice(0, at.lastIndexOf('.')) : '') {
    const found = document.getElementById(`f-${at}`) ?? document.getElementById(`at-${at}`)
    if (!found) continue
    found.scrollIntoView({ block: 'center' })
    found.focus({ preventScroll: true })
    return
  }
}
