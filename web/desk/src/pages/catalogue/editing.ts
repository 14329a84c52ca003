import { ApiProblem, type Schemas } from '@banshi/api'
import { deskCatalogue } from '@banshi/words'
import { ElMessage } from 'element-plus'
import { computed, onUnmounted, ref, shallowRef, toRaw, watch } from 'vue'
import { api } from '../../api'
import { wordsOf } from '../../language'
import type { GuideForm, Problem } from '../../parts/guide-editor/context'
import { connection } from '../../state/connection'
import { countUnsent } from '../../state/unsent'
import { forgetCopy, keepCopy, readCopy } from './copies'
import { merge, put, type Merged } from './merge'

export type EditorMatter = Schemas['EditorMatterView']

/** What somebody has to choose before the guide can be saved, or what a newer version changed. */
export interface Choice extends Merged {
  kind: 'conflict' | 'outdated'
  fresh: EditorMatter
}

const PAUSE = 1200
const AGAIN = 5000
const t = wordsOf(deskCatalogue).editor

let open: { dirty: boolean } | null = null
countUnsent(() => (open?.dirty ? 1 : 0))

/** The guide as the server has it for editors: what is being written, or waits, or is in force. */
export function guideOf(matter: EditorMatter): GuideForm {
  const guide = matter.draft?.guide ?? matter.scheduled?.guide ?? matter.published?.guide
  return structuredClone(guide) as GuideForm
}

/** Edit the guide of one matter: it is saved as it is written, and nothing that was written is lost. */
export function useEditing(matterId: string) {
  const matter = shallowRef<EditorMatter | null>(null)
  const guide = ref<GuideForm | null>(null)
  const state = ref<'idle' | 'saving' | 'offline' | 'failed' | 'full'>('idle')
  const problem = ref<unknown>(null)
  const refused = ref<Problem[]>([])
  const choice = shallowRef<Choice | null>(null)
  /** The guide as the server has it, in JSON, and whether ours differs. */
  const base = ref('')
  const dirty = ref(false)
  const readOnly = computed(() => matter.value?.scheduled != null)
  const problems = computed<Problem[]>(() => [...refused.value, ...(matter.value?.problems ?? [])])
  const own = {
    get dirty() {
      return dirty.value
    },
  }
  open = own
  let timer: ReturnType<typeof setTimeout> | undefined
  let running: Promise<boolean> | null = null

  function mine(): string {
    return JSON.stringify(guide.value)
  }

  function show(fresh: EditorMatter): void {
    matter.value = fresh
    guide.value = guideOf(fresh)
    base.value = mine()
    dirty.value = false
    state.value = 'idle'
    refused.value = []
  }

  async function fetch(): Promise<EditorMatter> {
    return api.get('/api/catalogue/matters/{matter_id}', { path: { matter_id: matterId } })
  }

  /** Read the matter anew, and bring back what was written here and never reached the server. */
  async function load(): Promise<void> {
    problem.value = null
    try {
      show(await fetch())
    } catch (error) {
      problem.value = error
      return
    }
    const copy = readCopy(matterId)
    if (!copy || readOnly.value) return
    if (JSON.stringify(copy.guide) === base.value) return forgetCopy(matterId)
    adopt('conflict', merge(copy.base, copy.guide, guideOf(matter.value!)), matter.value!)
    ElMessage.info(t.restored)
  }

  function adopt(kind: Choice['kind'], merged: Merged, fresh: EditorMatter): void {
    if (merged.clashes.length > 0 || kind === 'outdated') {
      choice.value = { ...merged, kind, fresh }
      return
    }
    matter.value = fresh
    base.value = JSON.stringify(guideOf(fresh))
    guide.value = merged.guide
    touched()
  }

  /** The guide may have changed: keep a copy here at once and send it soon. */
  function touched(): void {
    if (!guide.value || !matter.value || readOnly.value) return
    const now = mine()
    dirty.value = now !== base.value
    if (!dirty.value) return forgetCopy(matterId)
    const kept = keepCopy(matterId, { base: JSON.parse(base.value) as GuideForm, guide: JSON.parse(now) as GuideForm })
    if (!kept && !connection.online) state.value = 'full'
    later(PAUSE)
  }

  function later(wait: number): void {
    clearTimeout(timer)
    timer = setTimeout(() => void save(), wait)
  }

  watch(guide, touched, { deep: true })
  watch(
    () => connection.online,
    (online) => online && dirty.value && void save(),
  )

  /** Send what is not with the server yet. True when everything is there. */
  async function save(): Promise<boolean> {
    clearTimeout(timer)
    while (running) await running
    if (choice.value || !guide.value || !matter.value) return false
    touched()
    clearTimeout(timer)
    if (!dirty.value) return true
    running = send().finally(() => (running = null))
    return running
  }

  async function send(baseVersion?: number): Promise<boolean> {
    const read = matter.value!
    const sent = mine()
    state.value = 'saving'
    try {
      const saved = await api.put('/api/catalogue/matters/{matter_id}/draft', {
        path: { matter_id: matterId },
        body: { version: read.version, guide: JSON.parse(sent) as GuideForm, base_version: baseVersion ?? null },
      })
      matter.value = saved
      base.value = sent
      problem.value = null
      refused.value = []
      state.value = 'idle'
      touched()
      return !dirty.value
    } catch (error) {
      return notSaved(error, read)
    }
  }

  async function notSaved(error: unknown, read: EditorMatter): Promise<boolean> {
    state.value = 'failed'
    if (!(error instanceof ApiProblem)) throw error
    if (error.offline || error.status >= 502) {
      state.value = 'offline'
      later(AGAIN)
      return false
    }
    if (error.status === 409) {
      const fresh = await fetch().catch(() => null)
      if (fresh && fresh.version !== read.version) {
        state.value = 'idle'
        if (fresh.scheduled) {
          // what was written stays in the copy of this computer until the schedule is taken back
          ElMessage.warning(error.message)
          show(fresh)
          return false
        }
        const merged = merge(JSON.parse(base.value) as GuideForm, toRaw(guide.value!), guideOf(fresh))
        adopt('conflict', merged, fresh)
        if (!choice.value) ElMessage.info(t.merged)
        return false
      }
    }
    const wrong = error.problem.errors ?? (error.field ? [{ field: error.field, detail: error.message }] : [])
    refused.value = wrong.map(({ field, detail }) => ({
      field: field.replace(/^(body\.)?guide\./, ''),
      detail,
      severity: 'blocking' as const,
    }))
    problem.value = error
    return false
  }

  /** Take the choices made for the clashes (true: theirs) and save the whole. */
  async function resolve(theirs: Record<string, boolean>): Promise<void> {
    const now = choice.value
    if (!now) return
    const merged = JSON.parse(JSON.stringify(now.guide)) as GuideForm
    for (const clash of now.clashes) if (theirs[clash.field]) put(merged, clash.field, clash.theirs)
    choice.value = null
    matter.value = now.fresh
    guide.value = merged
    base.value = now.kind === 'conflict' ? JSON.stringify(guideOf(now.fresh)) : base.value
    while (running) await running
    running = send(now.kind === 'outdated' ? now.fresh.published?.version : undefined).finally(() => (running = null))
    await running
  }

  /** Compare the draft with a version that was published after it was begun. */
  async function lookAtNewer(): Promise<void> {
    if (!(await save())) return
    const fresh = matter.value!
    const began = fresh.draft?.base_version
    if (!began || !fresh.published || !guide.value) return
    const asked = { path: { matter_id: matterId }, query: { version: began } }
    const old = await api.get('/api/matters/{matter_id}', asked).catch((error: unknown) => {
      problem.value = error
      return null
    })
    if (!old) return
    const merged = merge(old.guide as GuideForm, toRaw(guide.value), fresh.published.guide as GuideForm)
    adopt('outdated', merged, fresh)
  }

  function onLeave(event: BeforeUnloadEvent): void {
    if (dirty.value) event.preventDefault()
  }
  window.addEventListener('beforeunload', onLeave)
  onUnmounted(() => {
    clearTimeout(timer)
    window.removeEventListener('beforeunload', onLeave)
    if (open === own) open = null
  })

  return {
    matter,
    guide,
    state,
    problem,
    problems,
    choice,
    dirty,
    readOnly,
    load,
    show,
    take: (moved: EditorMatter) => (dirty.value ? (matter.value = moved) : show(moved)),
    save,
    resolve,
    lookAtNewer,
    /** Nothing here is worth keeping any more: the draft was discarded. */
    forget: () => {
      clearTimeout(timer)
      dirty.value = false
      forgetCopy(matterId)
    },
  }
}

export type Editing = ReturnType<typeof useEditing>
