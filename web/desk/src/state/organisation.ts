import type { Schemas } from '@banshi/api'
import { api } from '../api'

interface Found {
  posts: Schemas['PostView'][]
  departments: Schemas['DepartmentView'][]
}

/** All posts and departments as they are now, for choosing one. A district has some hundreds. */
export async function organisation(): Promise<Found> {
  const [posts, departments] = await Promise.all([
    everyPage((cursor) => api.get('/api/organisation/posts', { query: { limit: 100, cursor } })),
    everyPage((cursor) => api.get('/api/organisation/departments', { query: { limit: 100, cursor } })),
  ])
  return { posts, departments }
}

async function everyPage<T>(
  get: (cursor: string | undefined) => Promise<{ items: T[]; next_cursor?: string | null }>,
): Promise<T[]> {
  const found: T[] = []
  let cursor: string | undefined
  do {
    const page = await get(cursor)
    found.push(...page.items)
    cursor = page.next_cursor ?? undefined
  } while (cursor)
  return found
}
