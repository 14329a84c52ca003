import type { Schemas } from '@banshi/api'
import { reactive } from 'vue'
import { api } from '../api'

export type QuickReply = Schemas['QuickReplyView']
export type ReplyScope = Schemas['ReplyScope']

/** The quick replies that this person may use, in the order in which they are shown. */
export const quickReplies = reactive({
  items: [] as QuickReply[],
  loaded: false,
  problem: null as unknown,
})

let asked: Promise<void> | null = null

/** Fetch them, once unless `anew`. */
export function loadQuickReplies(anew = false): Promise<void> {
  if (asked && !anew) return asked
  asked = api.get('/api/desk/quick-replies').then(
    (list) => {
      quickReplies.items = list.items
      quickReplies.loaded = true
      quickReplies.problem = null
    },
    (error: unknown) => {
      asked = null
      quickReplies.problem = error
    },
  )
  return asked
}

/** Those whose title, shortcut or text has the typed letters; a shortcut that begins so comes first. */
export function findReplies(items: readonly QuickReply[], typed: string): QuickReply[] {
  const wanted = typed.trim().toLowerCase()
  if (!wanted) return [...items]
  const rank = (reply: QuickReply): number => {
    if (reply.shortcut?.toLowerCase().startsWith(wanted)) return 0
    if (reply.title.toLowerCase().includes(wanted)) return 1
    return reply.text.toLowerCase().includes(wanted) ? 2 : 3
  }
  return items.filter((reply) => rank(reply) < 3).sort((a, b) => rank(a) - rank(b))
}

/** A reply with its placeholders filled; one for which nothing is known stays to be seen and typed over. */
export function fillReply(text: string, values: { matter?: string; citizen?: string; me?: string }): string {
  return text
    .replaceAll('{事项}', values.matter || '{事项}')
    .replaceAll('{称呼}', values.citizen || '{称呼}')
    .replaceAll('{我的姓名}', values.me || '{我的姓名}')
}
