import { words, type Area, type Language, type Like } from '@banshi/words'

const KEY = 'banshi.language'

/** The language of this desk. Changing it reloads the page: words are taken when a module loads. */
export const language: Language = localStorage.getItem(KEY) === 'en' ? 'en' : 'zh-CN'

export function setLanguage(chosen: Language): void {
  localStorage.setItem(KEY, chosen)
  location.reload()
}

/** The words of an area in the language of this desk. */
export function wordsOf<T>(area: Area<T>): Like<T> {
  return words(area, language)
}
