import { ApiProblem, emptyHistory, fileNameOf, HistorySearch, mapAddress, piecesOf, toChinaGrid } from '@banshi/api'
import type { FoundConsultation, Schemas } from '@banshi/api'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

type Page = Schemas['FoundPage']

const one = (id: string): FoundConsultation => ({ consultation: { id }, hits: [] }) as unknown as FoundConsultation
const page = (ids: string[], next_cursor: string | null = null, complete = true): Page => ({
  items: ids.map(one),
  next_cursor,
  complete,
})

function searching(answers: (Page | Error | Promise<Page>)[]) {
  const asked: { q: string; cursor?: string }[] = []
  const state = emptyHistory()
  const search = new HistorySearch(state, async (query) => {
    asked.push(query)
    const answer = await answers[asked.length - 1]!
    if (answer instanceof Error) throw answer
    return answer
  })
  return { asked, state, search, shown: () => state.items.map((found) => found.consultation.id) }
}

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

it('marks the places of a found text, which count UTF-16 code units, and loses no letter', () => {
  const text = '👍居住证和居住证明<b>'
  const places: [number, number][] = [
    [6, 9],
    [2, 5],
  ]
  expect(piecesOf({ text, places, before: true, after: false })).toEqual([
    { text: '…', hit: false },
    { text: '👍', hit: false },
    { text: '居住证', hit: true },
    { text: '和', hit: false },
    { text: '居住证', hit: true },
    { text: '明<b>', hit: false },
  ])
  const overlapping: [number, number][] = [
    [0, 4],
    [2, 6],
  ]
  const pieces = piecesOf({ text, places: overlapping, before: false, after: false })
  expect(pieces.map((piece) => piece.text).join('')).toBe(text)
})

it('asks once for what is typed in one go, and never shows an answer to an older question', async () => {
  let late: (page: Page) => void = () => undefined
  const { asked, state, search, shown } = searching([new Promise<Page>((done) => (late = done)), page(['b'])])
  for (const typed of ['居', '居住', '居住证 ']) search.typed(typed)
  await vi.advanceTimersByTimeAsync(600)
  expect(asked).toEqual([{ q: '居住证' }])
  search.typed('结婚')
  await vi.advanceTimersByTimeAsync(600)
  late(page(['a']))
  await vi.advanceTimersByTimeAsync(0)
  expect(shown()).toEqual(['b'])
  expect(state).toMatchObject({ asked: '结婚', busy: false, begun: true, more: false })
  search.typed('  ')
  await vi.advanceTimersByTimeAsync(600)
  expect(asked).toHaveLength(2)
  expect(state).toMatchObject({ asked: '', begun: false, items: [] })
})

it('goes on with earlier ones from where the server stopped, and asks again what failed', async () => {
  const { asked, state, search, shown } = searching([
    page([], 'c1', false),
    ApiProblem.network(),
    page(['a'], 'c2'),
    page(['a', 'b']),
  ])
  search.typed('证明')
  await vi.advanceTimersByTimeAsync(600)
  expect(state).toMatchObject({ begun: true, more: true, complete: false })
  await search.more()
  expect(state.problem).toBeInstanceOf(ApiProblem)
  expect(state.busy).toBe(false)
  await search.more()
  await search.more()
  expect(asked.map((query) => query.cursor)).toEqual([undefined, 'c1', 'c1', 'c2'])
  expect(shown()).toEqual(['a', 'b'])
  expect(state).toMatchObject({ problem: null, more: false, complete: true })
})

it('takes the name of a file from the answer', () => {
  const both = `attachment; filename="banshi.pdf"; filename*=UTF-8''%E5%92%A8%E8%AF%A2.pdf`
  expect(fileNameOf(both, 'x')).toBe('咨询.pdf')
  expect(fileNameOf('attachment; filename="banshi.pdf"', 'x')).toBe('banshi.pdf')
  expect(fileNameOf(`attachment; filename*=UTF-8''%E5%92`, 'x')).toBe('x')
  expect(fileNameOf(null, 'x')).toBe('x')
})

it('turns what browsers give into the degrees of Chinese maps, and leaves the rest of the world alone', () => {
  const known = [
    [31.1774276, 121.5272106, 31.17530398364597, 121.531541859215],
    [22.543847, 113.912316, 22.540796131694766, 113.9171764808363],
    [39.911954, 116.377817, 39.91334545536069, 116.38404722455657],
  ]
  for (const [latitude, longitude, north, east] of known) {
    const found = toChinaGrid(latitude!, longitude!)
    expect(found.latitude).toBeCloseTo(north!, 6)
    expect(found.longitude).toBeCloseTo(east!, 6)
  }
  expect(toChinaGrid(48.8566, 2.3522)).toEqual({ latitude: 48.8566, longitude: 2.3522 })
  expect(mapAddress({ latitude: 31.1753, longitude: 121.5315, name: '东门 & 西门' })).toContain(
    'position=121.531500,31.175300&name=%E4%B8%9C%E9%97%A8%20%26%20%E8%A5%BF%E9%97%A8',
  )
})
