import { describe, expect, it, vi } from 'vitest'
import { askedFor, Draft, editOf, filledOf, forgetDraft, merge, situationsOf } from '@/lib/drafts'
import { phone } from './platform'

type Case = Parameters<typeof filledOf>[0]

function aCase(changes: Record<string, unknown> = {}): Case {
  const applicant = { kind: 'person', name: '李秀英', id_number: null, phone: null }
  return { applicant, agent: null, form: {}, situations: [], version: 1, ...changes } as unknown as Case
}
const base = filledOf(aCase())

describe('merge', () => {
  it('keeps what was changed here alone and takes what was changed there alone', () => {
    const { merged, differing } = merge(base, { ...base, 'applicant.phone': '1' }, { ...base, 'form.remark': '二' })
    expect(merged).toMatchObject({ 'applicant.phone': '1', 'form.remark': '二' })
    expect(differing).toEqual({})
  })

  it('lets the server stand and tells what was typed here where both changed one field', () => {
    const { merged, differing } = merge(
      base,
      { ...base, 'applicant.name': '李秀' },
      { ...base, 'applicant.name': '李英' },
    )
    expect(merged['applicant.name']).toBe('李英')
    expect(differing).toEqual({ 'applicant.name': '李秀' })
  })

  it('does not take the server’s trimming for the change of another phone', () => {
    const sent = { ...base, 'applicant.id_number': '11010519491231002x', 'applicant.name': '李秀英 ' }
    const theirs = { ...base, 'applicant.id_number': '11010519491231002X' }
    const { merged, differing } = merge(sent, { ...sent, 'applicant.name': '李秀英 张' }, theirs)
    expect(merged['applicant.name']).toBe('李秀英 张')
    expect(differing).toEqual({})
  })
})

describe('editOf', () => {
  it('says nothing where nothing differs, and only the part that does', () => {
    expect(editOf(base, { ...base }, {})).toBeNull()
    expect(editOf(base, { ...base, situations: '甲\n乙' }, {})).toEqual({ situations: ['甲', '乙'] })
  })

  it('takes the agent away when nobody files for the applicant any more', () => {
    expect(editOf({ ...base, agent: true }, base, {})).toEqual({ agent: null })
  })

  it('leaves the other fields of the form alone', () => {
    expect(editOf(base, { ...base, 'form.remark': '急' }, { other: '1' })).toEqual({
      form: { other: '1', remark: '急' },
    })
  })
})

describe('Draft', () => {
  it('merges by itself when another phone saved meanwhile', async () => {
    const there = aCase({ version: 2, form: { remark: '从另一台手机' } })
    const sent: unknown[] = []
    phone.server = (method, _path, body) => {
      if (method === 'GET') return { status: 200, body: there }
      sent.push(body)
      const edit = body as { expected_version: number; applicant: object }
      if (edit.expected_version === 1) return { status: 409, body: { code: 'edit-conflict', detail: '已变' } }
      return { status: 200, body: { ...there, applicant: edit.applicant, version: 3 } }
    }
    const draft = new Draft('c1', aCase())
    draft.change('applicant.phone', '13812345678')
    expect(await draft.flush()).toBe(true)
    expect(sent).toHaveLength(2)
    expect(draft.state.filled).toMatchObject({ 'form.remark': '从另一台手机', 'applicant.phone': '13812345678' })
    expect(draft.state).toMatchObject({ saved: 'saved', changedElsewhere: true, differing: {} })
    expect(phone.kept.size).toBe(0)
  })

  it('survives the page while the network is gone, and says so when the phone has no room', async () => {
    vi.useFakeTimers()
    const draft = new Draft('c1', aCase())
    draft.change('form.remark', '断网时写的')
    let flushed = draft.flush()
    await vi.advanceTimersByTimeAsync(5000)
    expect(await flushed).toBe(false)
    expect(draft.state.saved).toBe('here')
    expect(new Draft('c1', aCase()).state.filled['form.remark']).toBe('断网时写的')
    phone.room = 10
    draft.change('form.remark', '手机满了')
    flushed = draft.flush()
    await vi.advanceTimersByTimeAsync(5000)
    await flushed
    expect(draft.state.saved).toBe('unkept')
    draft.close()
    vi.useRealTimers()
    forgetDraft('c1')
    expect(phone.kept.size).toBe(0)
  })
})

it('asks for the materials of the chosen situations and for those of all', () => {
  const guide = {
    materials: [
      { key: 'a' },
      { key: 'b', situation: '租房' },
      { key: 'c', situation: '买房' },
      { key: 'd', situation: '租房' },
    ],
  } as unknown as Parameters<typeof askedFor>[0]
  expect(situationsOf(guide)).toEqual(['租房', '买房'])
  expect(askedFor(guide, ['买房']).map((one) => one.key)).toEqual(['a', 'c'])
})
