/**
 * What a person fills in: on the phone at once, on the server a moment later.
 *
 * The same draft may be open on two phones. Each keeps what the server had when it last looked (`base`), so that it
 * knows which fields were changed here and which there.
 */
import { reactive } from 'vue'
import { api, ApiProblem, uuid, type Schemas } from './api'
import { forget, keep, kept } from './store'
import { isTransient } from './uploads'

export type PartyKind = 'person' | 'organisation'

/** Everything a person types or ticks, flat, so that two phones can be compared field by field. */
export interface Filled {
  'applicant.kind': PartyKind
  'applicant.name': string
  'applicant.id_number': string
  'applicant.phone': string
  /** Whether somebody files for the applicant. */
  agent: boolean
  'agent.name': string
  'agent.id_number': string
  'agent.phone': string
  'form.remark': string
  /** In the order of the guide, joined by line ends. */
  situations: string
}

export type FieldName = keyof Filled
type Case = Schemas['CaseView']
/** Members that are left out stay as they are. */
type Edit = Partial<Omit<Schemas['CaseEdit'], 'expected_version' | 'action_id'>>

interface Kept {
  base: Filled
  mine: Filled
}

const PREFIX = 'draft:'
/** Milliseconds without typing after which the server gets it. */
const QUIET = 900

/** What the server has, as fields. */
export function filledOf(of: Case): Filled {
  const { applicant, agent, form } = of
  return {
    'applicant.kind': applicant.kind,
    'applicant.name': applicant.name ?? '',
    'applicant.id_number': applicant.id_number ?? '',
    'applicant.phone': applicant.phone ?? '',
    agent: agent !== null,
    'agent.name': agent?.name ?? '',
    'agent.id_number': agent?.id_number ?? '',
    'agent.phone': agent?.phone ?? '',
    'form.remark': form.remark ?? '',
    situations: of.situations.join('\n'),
  }
}

/**
 * Three states into one: what was changed here stays unless it was also changed elsewhere; then the server's stands
 * and what was typed here is told as `differing`.
 */
export function merge(base: Filled, mine: Filled, theirs: Filled): { merged: Filled; differing: Partial<Filled> } {
  const merged = { ...theirs }
  const differing: Partial<Filled> = {}
  for (const name of Object.keys(theirs) as FieldName[]) {
    if (same(theirs[name], base[name])) set(merged, name, mine[name])
    else if (mine[name] !== base[name] && !same(mine[name], theirs[name])) set(differing, name, mine[name])
  }
  return { merged, differing }
}

/** The server trims what is typed and writes the X of an ID number large: that is nobody's change. */
function same(a: string | boolean, b: string | boolean): boolean {
  const plain = (value: string | boolean): string => String(value).replace(/\s/g, '').toUpperCase()
  return a === b || plain(a) === plain(b)
}

function set(into: Partial<Filled>, name: FieldName, value: string | boolean): void {
  ;(into as Record<string, string | boolean>)[name] = value
}

/** The body of the edit that brings the server from `base` to `mine`; null when nothing differs. */
export function editOf(base: Filled, mine: Filled, form: Record<string, string>): Edit | null {
  const changed = (prefix: string): boolean =>
    (Object.keys(mine) as FieldName[]).some((name) => name.startsWith(prefix) && mine[name] !== base[name])
  const edit: Edit = {}
  if (changed('applicant.')) edit.applicant = party(mine, 'applicant', mine['applicant.kind'])
  if (mine.agent ? changed('agent') : base.agent) edit.agent = mine.agent ? party(mine, 'agent', 'person') : null
  if (changed('form.')) {
    const { remark: _, ...others } = form
    const remark = mine['form.remark']
    edit.form = remark.trim() ? { ...others, remark } : others
  }
  if (mine.situations !== base.situations) edit.situations = mine.situations ? mine.situations.split('\n') : []
  return Object.keys(edit).length ? edit : null
}

function party(of: Filled, who: 'applicant' | 'agent', kind: PartyKind): Schemas['PartyModel'] {
  const text = (value: string): string | null => value.trim() || null
  return {
    kind,
    name: text(of[`${who}.name`]),
    id_number: text(of[`${who}.id_number`]),
    phone: text(of[`${who}.phone`]),
  }
}

export type SaveState = 'saved' | 'saving' | 'here' | 'unkept' | 'refused'

/**
 * One draft being filled in. `state.saved` is `here` while the phone alone has the newest, `unkept` while not even the
 * phone does: its store is full, so that closing the page would lose it.
 */
export class Draft {
  readonly state: {
    filled: Filled
    saved: SaveState
    /** The server's words by field. */
    problems: Partial<Record<string, string>>
    /** What was typed here for fields that another phone changed meanwhile. */
    differing: Partial<Filled>
    /** Another phone changed something. */
    changedElsewhere: boolean
  }
  private base: Filled
  private form: Record<string, string>
  private version: number
  private timer: ReturnType<typeof setTimeout> | undefined
  private saving: Promise<boolean> | undefined
  private attempt = 0
  private onPhone = true
  private tap: { body: string; id: string } | undefined

  constructor(
    readonly caseId: string,
    of: Case,
    private readonly newer: (found: Case) => void = () => undefined,
  ) {
    const theirs = filledOf(of)
    const here = kept<Kept>(PREFIX + caseId)
    const { merged, differing } = here
      ? merge({ ...theirs, ...here.base }, { ...theirs, ...here.mine }, theirs)
      : { merged: { ...theirs }, differing: {} }
    this.base = theirs
    this.form = { ...of.form }
    this.version = of.version
    this.state = reactive({
      filled: merged,
      saved: 'saved',
      problems: {},
      differing,
      changedElsewhere: Object.keys(differing).length > 0,
    })
    if (editOf(this.base, merged, this.form)) this.touched()
  }

  /** A field was changed: it is on the phone when this returns. */
  change<K extends FieldName>(name: K, value: Filled[K]): void {
    if (this.state.filled[name] === value) return
    this.state.filled[name] = value
    delete this.state.problems[name]
    delete this.state.differing[name]
    this.touched()
  }

  /** Take what was typed here for a field that another phone changed. */
  takeMine(name: FieldName): void {
    const mine = this.state.differing[name]
    if (mine === undefined) return
    set(this.state.filled, name, mine)
    delete this.state.differing[name]
    this.touched()
  }

  /** The case moved on (pages came and went): only its version is new here. */
  seen(version: number): void {
    this.version = Math.max(this.version, version)
  }

  /** Have the server know everything now. False when it could not be told; the phone keeps it. */
  async flush(): Promise<boolean> {
    clearTimeout(this.timer)
    while (this.saving) await this.saving
    this.saving = this.save().finally(() => {
      this.saving = undefined
    })
    return this.saving
  }

  /** The network is back. */
  resume(): void {
    if (this.state.saved === 'here' || this.state.saved === 'unkept') void this.flush()
  }

  close(): void {
    clearTimeout(this.timer)
    if (this.state.saved === 'saving') void this.flush()
  }

  private touched(): void {
    this.onPhone = keep(PREFIX + this.caseId, { base: this.base, mine: this.state.filled } satisfies Kept)
    this.state.saved = 'saving'
    this.attempt = 0
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.flush(), QUIET)
  }

  private async save(): Promise<boolean> {
    for (let tries = 0; tries < 6; tries += 1) {
      const sent = { ...this.state.filled }
      const edit = editOf(this.base, sent, this.form)
      if (!edit) {
        this.state.saved = 'saved'
        forget(PREFIX + this.caseId)
        return true
      }
      try {
        const body = { ...edit, expected_version: this.version, action_id: this.actionId(edit) } as Schemas['CaseEdit']
        const found = await api.patch('/api/cases/{case_id}', { path: { case_id: this.caseId }, body })
        this.accept(found, sent)
      } catch (error) {
        if (error instanceof ApiProblem && error.code === 'edit-conflict' && (await this.catchUp())) continue
        return this.failed(error)
      }
    }
    return this.failed(ApiProblem.network())
  }

  /** The same edit on the same version carries the same id: repeated after a lost answer, it is one edit. */
  private actionId(edit: object): string {
    const body = JSON.stringify([edit, this.version])
    if (this.tap?.body !== body) this.tap = { body, id: uuid() }
    return this.tap.id
  }

  private accept(found: Case, sent: Filled): void {
    this.version = found.version
    this.form = { ...found.form }
    // what the server trims is not a change of ours
    this.base = { ...sent, agent: found.agent !== null }
    this.state.problems = {}
    keep(PREFIX + this.caseId, { base: this.base, mine: this.state.filled } satisfies Kept)
    this.newer(found)
  }

  /** Somebody saved meanwhile, perhaps only a photograph: take what is new and look what is left of ours. */
  private async catchUp(): Promise<boolean> {
    try {
      const found = await api.get('/api/cases/{case_id}', { path: { case_id: this.caseId } })
      const theirs = filledOf(found)
      const { merged, differing } = merge(this.base, this.state.filled, theirs)
      const news = (Object.keys(theirs) as FieldName[]).some((name) => merged[name] !== this.state.filled[name])
      this.base = theirs
      this.form = { ...found.form }
      this.version = found.version
      Object.assign(this.state.filled, merged)
      Object.assign(this.state.differing, differing)
      if (news) this.state.changedElsewhere = true
      this.newer(found)
      return true
    } catch {
      return false
    }
  }

  private failed(error: unknown): boolean {
    if (isTransient(error)) {
      this.state.saved = this.onPhone ? 'here' : 'unkept'
      this.attempt += 1
      this.timer = setTimeout(() => void this.flush(), Math.min(30_000, 1000 * 2 ** this.attempt))
      return false
    }
    this.state.saved = 'refused'
    this.state.problems = problemsOf(error)
    return false
  }
}

/** The server's words by field; '' where it named none. */
export function problemsOf(error: unknown): Record<string, string> {
  if (!(error instanceof ApiProblem)) return { '': String(error) }
  const { field, errors, detail } = error.problem
  const found: Record<string, string> = {}
  for (const one of errors ?? []) found[one.field] ??= one.detail
  if (field && !found[field]) found[field] = detail
  if (Object.keys(found).length === 0) found[''] = detail
  return found
}

/** The case is handed in, or its draft was deleted: the phone keeps nothing of it. */
export function forgetDraft(caseId: string): void {
  forget(PREFIX + caseId)
  forget(`pages:${caseId}`)
}

/**
 * The draft for a matter: the one begun earlier, else a new one. The key of the creation is kept until the answer is
 * there, so that a cut connection makes one draft.
 */
export async function beginDraft(matterId: string, channel: 'wechat' | 'web'): Promise<string> {
  const page = await api.get('/api/cases', { query: { state: ['draft'], limit: 50 } })
  const found = page.items.find((one) => one.matter_id === matterId)
  if (found) return found.id
  const storeKey = `begin:${matterId}`
  const idempotencyKey = kept<string>(storeKey) ?? uuid()
  keep(storeKey, idempotencyKey)
  const begun = await api.post('/api/cases', { body: { matter_id: matterId, channel }, idempotencyKey })
  forget(storeKey)
  return begun.id
}

type Guide = Schemas['GuideView']

/** The situations (情形) that a guide asks about, each once, in its order. */
export function situationsOf(guide: Guide): string[] {
  return [...new Set(guide.materials.map((one) => one.situation).filter((one): one is string => !!one))]
}

/** The materials asked for in these situations (`requirements` in `backend/domain/cases.py`). */
export function askedFor(guide: Guide, situations: readonly string[]): Guide['materials'] {
  return guide.materials.filter((one) => !one.situation || situations.includes(one.situation))
}
