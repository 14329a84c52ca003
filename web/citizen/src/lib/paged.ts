import { computed, ref, shallowRef } from 'vue'

interface Answer<T> {
  items: T[]
  next_cursor?: string | null
}

/**
 * A list that is read page by page. `start` begins anew (an answer to an older question is thrown away), `more` goes
 * on; what is there stays when the next page does not come.
 */
export function usePaged<T>(ask: (cursor: string | undefined) => Promise<Answer<T>>) {
  const items = shallowRef<T[]>([])
  const cursor = ref<string | null>(null)
  const loading = ref(false)
  const begun = ref(false)
  const problem = ref<string | null>(null)
  let question = 0

  async function read(from: string | undefined): Promise<void> {
    const mine = (question += 1)
    loading.value = true
    problem.value = null
    try {
      const page = await ask(from)
      if (mine !== question) return
      items.value = from === undefined ? page.items : [...items.value, ...page.items]
      cursor.value = page.next_cursor ?? null
      begun.value = true
    } catch (error) {
      if (mine === question) problem.value = problemText(error)
    } finally {
      if (mine === question) loading.value = false
    }
  }

  return {
    items,
    loading,
    problem,
    /** The first answer has come. */
    begun,
    hasMore: computed(() => cursor.value !== null),
    start: (): Promise<void> => {
      begun.value = false
      items.value = []
      cursor.value = null
      return read(undefined)
    },
    /** The first page again, without emptying the list meanwhile. */
    refresh: (): Promise<void> => read(undefined),
    more: async (): Promise<void> => {
      if (!loading.value && cursor.value !== null) await read(cursor.value)
    },
  }
}

/** What to show for an error: the server's words. */
export function problemText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
