import { deskCatalogue } from '@banshi/words'
import { wordsOf } from '../language'
import type { GuideForm, Limit, Material } from './guide-editor/context'

const t = wordsOf(deskCatalogue)

/** A limit as people read it: the source's own words, else number and unit. */
export function limitText(limit: Pick<Limit, 'amount' | 'unit' | 'extended_amount' | 'text'>): string {
  if (limit.text) return limit.text
  if (limit.unit === 'instant') return t.values.unit!.instant!
  const more = limit.extended_amount ? t.extended(limit.extended_amount) : ''
  return `${limit.amount} ${t.values.unit![limit.unit]}${more}`
}

/** What a field is called. */
export function fieldName(field: string): string {
  return t.fields[field] ?? field
}

/** A value of a guide in words, line by line, for reading and comparing. Nothing said is no line. */
export function valueLines(field: string, value: unknown): string[] {
  if (value === null || value === undefined || value === '') return []
  if (typeof value === 'boolean') return [value ? t.yes : t.no]
  const named = t.values[field]
  if (Array.isArray(value)) return value.flatMap((item) => itemLines(field, item, named))
  if (typeof value === 'object') return field.endsWith('_limit') ? [limitText(value as Limit)] : [objectLine(value)]
  return named ? [named[String(value)] ?? String(value)] : String(value).split('\n')
}

function itemLines(field: string, item: unknown, named?: Record<string, string>): string[] {
  if (typeof item === 'string') return [named?.[item] ?? item]
  if (field === 'materials') return [materialLine(item as Material)]
  return item && typeof item === 'object' ? [objectLine(item)] : [String(item)]
}

function materialLine(material: Material): string {
  const value = (part: string, key: string): string => t.values[part]?.[key] ?? key
  const facts = [
    value('necessity', material.necessity),
    t.copies(material.originals, material.copies),
    value('format', material.format),
    value('source', material.source),
    material.issuer,
    material.situation && `${t.parts.situation} ${material.situation}`,
    material.page_format,
    material.notes && `${t.parts.notes} ${material.notes}`,
    material.acceptance_standard && `${t.parts.acceptance_standard} ${material.acceptance_standard}`,
    material.blank_form && `${t.parts.blank_form} ${material.blank_form}`,
    material.filled_sample && `${t.parts.filled_sample} ${material.filled_sample}`,
  ].filter(Boolean)
  return `${material.name || '…'} · ${facts.join(' · ')}`
}

function objectLine(item: object): string {
  return Object.values(item)
    .filter((part) => part !== null && part !== '')
    .map(String)
    .join(' · ')
}

export interface DiffLine {
  kind: 'same' | 'old' | 'new'
  text: string
}

/** Which lines went, came and stayed (longest common subsequence). */
export function lineDiff(before: string[], after: string[]): DiffLine[] {
  // a guide has some hundred lines at most; for anything longer the table would be too large
  if (before.length * after.length > 250_000) {
    return [
      ...before.map((text) => ({ kind: 'old' as const, text })),
      ...after.map((text) => ({ kind: 'new' as const, text })),
    ]
  }
  const table = Array.from({ length: before.length + 1 }, () => new Array<number>(after.length + 1).fill(0))
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      table[i]![j] = before[i] === after[j] ? table[i + 1]![j + 1]! + 1 : Math.max(table[i + 1]![j]!, table[i]![j + 1]!)
    }
  }
  const lines: DiffLine[] = []
  let i = 0
  let j = 0
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      lines.push({ kind: 'same', text: before[i]! })
      i += 1
      j += 1
    } else if (i < before.length && (j >= after.length || table[i + 1]![j]! >= table[i]![j + 1]!)) {
      lines.push({ kind: 'old', text: before[i++]! })
    } else {
      lines.push({ kind: 'new', text: after[j++]! })
    }
  }
  return lines
}

/** The fields in which two guides differ, in the order of the form. */
export function changedFields(before: GuideForm, after: GuideForm): (keyof GuideForm)[] {
  return (Object.keys(t.fields) as (keyof GuideForm)[]).filter(
    (field) => field in after && JSON.stringify(before[field]) !== JSON.stringify(after[field]),
  )
}
