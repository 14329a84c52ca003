/** The same shape with any words in it. */
export type Like<T> = T extends string
  ? string
  : T extends (...args: infer A) => string
    ? (...args: A) => string
    : { readonly [K in keyof T]: Like<T[K]> }

export type Language = 'zh-CN' | 'en'

/** The words of one part of a client, in every language it speaks. Chinese is complete; the others must be too. */
export interface Area<T> {
  readonly 'zh-CN': T
  readonly en: Like<T>
}

/** Declare an area: `area({ send: '发送' }, { send: 'Send' })`. Sentences with values in them are functions. */
export function area<T>(chinese: T, english: Like<T>): Area<T> {
  return { 'zh-CN': chinese, en: english }
}

/** The words of an area in one language. */
export function words<T>(of: Area<T>, language: Language): Like<T> {
  return of[language] as Like<T>
}
