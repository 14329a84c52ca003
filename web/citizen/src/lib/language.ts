import { words } from '@banshi/words'
import type { Area, Language, Like } from '@banshi/words'
import { computed, ref } from 'vue'
import type { ComputedRef } from 'vue'
import { keep, kept } from './store'

export type { Language }

export const language = ref<Language>(kept<Language>('language') === 'en' ? 'en' : 'zh-CN')

/** The words of an area in the language of the moment; a template uses them as `t.send`. */
export function useWords<T>(area: Area<T>): ComputedRef<Like<T>> {
  return computed(() => words(area, language.value))
}

/** The same outside of components. */
export function say<T>(area: Area<T>): Like<T> {
  return words(area, language.value)
}

export function setLanguage(next: Language): void {
  language.value = next
  keep('language', next)
  applyLanguage()
}

/** Tell the page's reader (screen readers, translators) which language it is in. */
export function applyLanguage(): void {
  // #ifdef H5
  document.documentElement.lang = language.value
  // #endif
}
