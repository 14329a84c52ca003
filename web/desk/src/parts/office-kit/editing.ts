import { ApiProblem, type Schemas } from '@banshi/api'
import { computed, nextTick, reactive, ref, shallowRef, watch } from 'vue'
import { api } from '../../api'
import { session } from '../../state/session'

type Kind = 'department' | 'post' | 'staff'

/** What somebody else changed while we typed. `both`: we changed it, too, and ours is kept. */
export interface Theirs {
  field: string
  value: unknown
  both: boolean
}

interface Options<V extends { id: string; version: number }, F extends Record<string, unknown>> {
  kind: Kind
  /** The fields of what was read that can be edited. */
  form: (read: V) => F
  load: () => Promise<V>
  save: (changes: Partial<F>, version: number) => Promise<V>
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

/**
 * A form over one record that others edit, too.
 *
 * What is typed is kept on this computer until it is saved. When somebody saved before us, their other
 * fields are taken over, ours stay, and `conflict` says what happened until one saves again.
 */
export function useEditing<V extends { id: string; version: number }, F extends Record<string, unknown>>(
  options: Options<V, F>,
) {
  const read = shallowRef<V | null>(null)
  const base = shallowRef<F | null>(null)
  const form = reactive<Record<string, unknown>>({}) as F
  const loading = ref(true)
  const saving = ref(false)
  const restored = ref(false)
  const loadProblem = ref<unknown>(null)
  const problem = ref<unknown>(null)
  const conflict = ref<{ who: string | null; theirs: Theirs[] } | null>(null)
  const last = shallowRef<Schemas['ChangeView'] | null>(null)

  const changed = computed(() => {
    const before = base.value
    return before ? Object.keys(before).filter((field) => !same(before[field], form[field])) : []
  })
  const dirty = computed(() => changed.value.length > 0)

  function place(): string {
    return `banshi.desk.edit.${session.me?.id}.${options.kind}.${read.value?.id}`
  }

  function show(found: V): void {
    read.value = found
    base.value = copy(options.form(found))
    Object.assign(form, copy(base.value))
  }

  async function lookWho(): Promise<void> {
    if (!read.value) return
    const found = await api
      .get('/api/organisation/changes', { query: { of: options.kind, id: read.value.id, limit: 1 } })
      .catch(() => null)
    last.value = found?.items[0] ?? null
  }

  async function load(): Promise<void> {
    loading.value = true
    loadProblem.value = problem.value = conflict.value = null
    restored.value = false
    try {
      show(await options.load())
      const kept = localStorage.getItem(place())
      if (kept !== null) {
        Object.assign(form, JSON.parse(kept) as Partial<F>)
        restored.value = dirty.value
      }
      void lookWho()
    } catch (error) {
      loadProblem.value = error
    } finally {
      loading.value = false
    }
  }

  watch([form, base], () => {
    if (!read.value || loading.value) return
    if (!dirty.value) localStorage.removeItem(place())
    else localStorage.setItem(place(), JSON.stringify(changes()))
  })

  function changes(): Partial<F> {
    return Object.fromEntries(changed.value.map((field) => [field, form[field]])) as Partial<F>
  }

  async function meet(): Promise<void> {
    const before = base.value!
    const mine = changes()
    const found = await options.load()
    const now = options.form(found)
    const theirs = Object.keys(before)
      .filter((field) => !same(before[field], now[field]))
      .map((field) => ({ field, value: now[field], both: field in mine && !same(now[field], mine[field]) }))
    show(found)
    Object.assign(form, copy(mine))
    await lookWho()
    conflict.value = { who: last.value?.by?.name ?? null, theirs }
  }

  /** Save what changed. Resolves to a way back, or null when nothing was saved. */
  async function save(): Promise<(() => Promise<void>) | null> {
    if (saving.value || !read.value || !dirty.value) return null
    saving.value = true
    problem.value = null
    const sent = changes()
    const undo = Object.fromEntries(Object.keys(sent).map((field) => [field, base.value![field]])) as Partial<F>
    try {
      await keep(sent)
      return async () => {
        await keep(undo)
      }
    } catch (error) {
      if (error instanceof ApiProblem && error.code === 'edit-conflict') {
        await meet().catch((again: unknown) => (problem.value = again))
      } else problem.value = error
      return null
    } finally {
      saving.value = false
    }
  }

  async function keep(sent: Partial<F>): Promise<void> {
    show(await options.save(sent, read.value!.version))
    restored.value = false
    conflict.value = null
    localStorage.removeItem(place())
    await nextTick()
    void lookWho()
  }

  /** Back to what the server has. */
  function discard(): void {
    if (base.value) Object.assign(form, copy(base.value))
    restored.value = false
    problem.value = conflict.value = null
  }

  /** The server's refusal of one field, in its words. */
  function fault(field: string): string {
    const refused = problem.value
    return refused instanceof ApiProblem && refused.field?.split('.')[0] === field ? refused.message : ''
  }

  /** A refusal that no field shows. */
  const general = computed(() => {
    const refused = problem.value
    const shown = refused instanceof ApiProblem && refused.field && refused.field.split('.')[0]! in form
    return shown ? null : refused
  })

  return {
    read, form, loading, loadProblem, saving, restored, conflict, last, dirty, changed, general,
    load, save, discard, fault, show,
  } // prettier-ignore
}
