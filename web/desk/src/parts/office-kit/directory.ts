import type { Schemas } from '@banshi/api'
import { reactive, readonly } from 'vue'
import { api } from '../../api'

export type Department = Schemas['DepartmentRow']

const state = reactive({ departments: [] as Department[], ready: false })
let asked: Promise<void> | null = null

/** Every department, with its duty leads: a district has some dozens. Filled by `knowDepartments`. */
export const directory = readonly(state)

/** Read all departments once; with `again`, anew. Rejects with `ApiProblem`. */
export function knowDepartments(again = false): Promise<void> {
  if (again) asked = null
  asked ??= read().catch((error: unknown) => {
    asked = null
    throw error
  })
  return asked
}

async function read(): Promise<void> {
  const found: Department[] = []
  let cursor: string | undefined
  do {
    const page = await api.get('/api/organisation/departments', { query: { limit: 100, cursor } })
    found.push(...page.items)
    cursor = page.next_cursor ?? undefined
  } while (cursor)
  const order = { hall: 0, bureau: 1, street: 2 }
  state.departments = found.sort((a, b) => order[a.kind] - order[b.kind] || a.name.localeCompare(b.name, 'zh-CN'))
  state.ready = true
}

export function departmentOf(id: string | null | undefined): Department | undefined {
  return state.departments.find((department) => department.id === id) as Department | undefined
}

/** Who stands at the district's triage desk: the duty leads of the halls, each once. */
export function triageNames(): string[] {
  const halls = state.departments.filter((department) => department.kind === 'hall')
  return [...new Set(halls.flatMap((hall) => hall.duty_leads.map((lead) => lead.name)))]
}
