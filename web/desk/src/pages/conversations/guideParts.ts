import type { deskChat, Like } from '@banshi/words'
import type { Guide } from '../../state/guides'

type Words = Like<(typeof deskChat)['zh-CN']['guide']>

/** A clause of a guide: what it is called, what it says, and by which key a card points at it. */
export interface Clause {
  /** Stays the same for the same guide; what a card carries as its `item`. */
  item: string | null
  title: string
  text: string
}

export interface GuidePart {
  name: string
  clauses: Clause[]
}

/** What a clerk may quote or send of a guide, in the order in which citizens ask for it. */
export function partsOf(guide: Guide, t: Words): GuidePart[] {
  const { guide: g } = guide
  const parts: GuidePart[] = []
  const part = (name: string, clauses: (Clause | null)[]): void => {
    const there = clauses.filter((clause): clause is Clause => clause !== null && clause.text.trim() !== '')
    if (there.length > 0) parts.push({ name, clauses: there })
  }
  const materials = g.materials.map((material): Clause => {
    const facts = [
      material.originals > 0 && t.originals(material.originals),
      material.copies > 0 && t.copies(material.copies),
      material.necessity !== 'required' && t.optional,
      material.situation,
      material.notes,
    ].filter(Boolean)
    return {
      item: `materials.${material.key}`,
      title: material.name,
      text: facts.length > 0 ? `${material.name}（${facts.join('，')}）` : material.name,
    }
  })
  part(
    t.materials,
    materials.length > 1
      ? [{ item: 'materials', title: t.materials, text: numbered(materials.map(({ text }) => text)) }, ...materials]
      : materials,
  )
  part(t.fee, [
    {
      item: 'fees',
      title: t.fee,
      text: g.fees.length
        ? g.fees.map((fee) => [`${fee.name}：${fee.standard}`, fee.reduction].filter(Boolean).join('，')).join('\n')
        : t.free,
    },
  ])
  const limits = [
    g.promised_limit && t.promised(g.promised_limit.text),
    g.statutory_limit && t.statutory(g.statutory_limit.text),
  ]
  part(t.time, [{ item: 'limits', title: t.time, text: limits.filter(Boolean).join('，') }])
  part(t.conditions, [{ item: 'conditions', title: t.conditions, text: numbered(g.conditions) }])
  part(t.steps, [
    {
      item: 'steps',
      title: t.steps,
      text: numbered(g.steps.map((step) => [step.name, step.detail, step.limit].filter(Boolean).join('：'))),
    },
  ])
  part(
    t.windows,
    g.windows.map((window, index) => ({
      item: `windows.${index}`,
      title: window.name,
      text: [
        window.name,
        window.address,
        window.phone && `${t.phone} ${window.phone}`,
        window.hours && `${t.hours} ${window.hours}`,
        window.traffic,
      ]
        .filter(Boolean)
        .join('\n'),
    })),
  )
  part(t.visits, [
    { item: 'visits', title: t.visits, text: [t.visitTimes(g.visits), g.visit_reason].filter(Boolean).join('，') },
  ])
  part(t.result, [{ item: 'result', title: t.result, text: g.result?.name ?? '' }])
  part(
    t.questions,
    g.questions.map((each, index) => ({ item: `questions.${index}`, title: each.question, text: each.answer })),
  )
  return parts
}

function numbered(lines: string[]): string {
  return lines.length > 1 ? lines.map((line, index) => `${index + 1}. ${line}`).join('\n') : (lines[0] ?? '')
}
