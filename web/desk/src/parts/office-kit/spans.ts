import { deskOffice } from '@banshi/words'
import { wordsOf } from '../../language'

export interface Span {
  start: string
  end: string
}

const t = wordsOf(deskOffice).spans

/** What is wrong with each span: the rule of the server, said where it is typed. Empty texts are fine. */
export function spanFaults(spans: readonly Span[]): string[] {
  return spans.map((span, index) => {
    if (!span.start || !span.end) return t.incomplete
    if (span.start >= span.end) return t.reversed
    const before = spans[index - 1]
    return before?.end && span.start < before.end ? t.overlap : ''
  })
}

export function spanText(spans: readonly Span[]): string {
  return spans.map((span) => `${span.start}–${span.end}`).join(t.between)
}
