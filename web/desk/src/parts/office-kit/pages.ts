import { ref, shallowRef } from 'vue'

interface Page<T> {
  items: T[]
  next_cursor?: string | null
}

/** A list read page by page. `start` begins anew; an answer that a later start overtook is thrown away. */
export function usePages<T>(read: (cursor: string | undefined) => Promise<Page<T>>) {
  const items = shallowRef<T[]>([])
  const cursor = ref<string | null>(null)
  const loading = ref(false)
  const ready = ref(false)
  const problem = ref<unknown>(null)
  let turn = 0

  async function go(from: string | undefined): Promise<void> {
    const mine = ++turn
    loading.value = true
    problem.value = null
    try {
      const page = await read(from)
      if (mine !== turn) return
      items.value = from === undefined ? page.items : [...items.value, ...page.items]
      cursor.value = page.next_cursor ?? null
      ready.value = true
    } catch (error) {
      if (mine === turn) problem.value = error
    } finally {
      if (mine === turn) loading.value = false
    }
  }

  return {
    items,
    cursor,
    loading,
    ready,
    problem,
    start: () => go(undefined),
    more: () => (cursor.value ? go(cursor.value) : Promise.resolve()),
  }
}

/** Calls `work` when nothing more has happened for `ms`. */
export function afterPause(work: () => void, ms = 250): () => void {
  let timer = 0
  return () => {
    window.clearTimeout(timer)
    timer = window.setTimeout(work, ms)
  }
}
