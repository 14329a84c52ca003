import { expect, it } from 'vitest'
import { learnTime, rightNow } from '@/lib/clock'
import { day, fullMoment, moment, time, today } from '@/lib/format'
import { partId, partIds } from '@/lib/guide-parts'
import { highlight } from '@/lib/highlight'
import { Materials } from '@/lib/materials'
import { address, hashLink } from '@/lib/navigation'
import { anythingUnsent, erasePrivate, makeRoomFor } from '@/lib/private'
import { keep, kept } from '@/lib/store'
import { phone } from './platform'

const NOON = Date.parse('2026-03-02T12:00:00+08:00')

it('says moments as one does, in the district’s time', () => {
  expect(moment('2026-03-02T01:05:00Z', NOON)).toBe('今天 09:05')
  expect(moment('2026-03-01T15:59:00Z', NOON)).toBe('昨天 23:59')
  expect(moment('2025-12-31T15:59:00Z', NOON)).toBe('2025年12月31日')
  expect(day('2026-03-09', NOON)).toBe('3月9日')
  expect(time('2026-03-01T16:00:00Z')).toBe('00:00')
  expect(today(Date.parse('2026-03-01T16:00:00Z'))).toBe('2026-03-02')
  expect(fullMoment('2026-03-02T01:05:00Z')).toBe('2026年3月2日 09:05')
})

it('counts by the server’s clock where the phone’s is wrong by a day', () => {
  const asked = Date.now()
  learnTime(new Date(asked + 86_400_000).toISOString(), asked)
  expect(rightNow() - Date.now()).toBeGreaterThan(86_300_000)
  expect(moment(new Date(asked + 86_400_000).toISOString())).toMatch(/^今天/)
  learnTime('nonsense', asked)
  expect(rightNow() - Date.now()).toBeGreaterThan(86_300_000)
  learnTime(new Date().toISOString(), Date.now())
})

it('marks what was asked for and loses no letter', () => {
  const pieces = highlight('居住证申领👍', '居住证')
  expect(pieces).toEqual([
    { text: '居住证', hit: true },
    { text: '申领👍', hit: false },
  ])
  expect(highlight('居住证', '')).toEqual([{ text: '居住证', hit: false }])
})

it('writes addresses without what is empty', () => {
  expect(address('/p', { a: '甲 乙', b: null, c: '' })).toBe('/p?a=%E7%94%B2%20%E4%B9%99')
  expect(hashLink('/p')).toBe('#/p')
})

it('leads to a part of a guide, else to its section', () => {
  expect(partId('materials.id-card')).toBe('part-materials-id-card')
  expect(partIds('windows.3')).toEqual(['part-windows-3', 'part-windows'])
  expect(partIds('fees')).toEqual(['part-fees'])
})

it('hides a page that was taken out and shows it again after an undo', () => {
  const materials = new Materials('c1')
  const pages = ['p1', 'p2'].map((id) => ({ id, key: 'form' })) as unknown as ReturnType<typeof materials.pages>
  materials.state.slots = { form: pages }
  materials.remove(materials.pages('form')[0]!)
  expect(materials.pages('form').map((page) => page.id)).toEqual(['p2'])
  materials.undo()
  expect(materials.pages('form').map((page) => page.id)).toEqual(['p1', 'p2'])
  materials.queue.close()
})

it('erases a person’s things at log-out and before another logs in, and keeps the phone’s', async () => {
  await makeRoomFor('a')
  keep('large', true)
  keep('draft:c1', { id_number: '11010519491231002X' })
  phone.kept.set('banshi-chat:citizen:a:log:1', '{}')
  await makeRoomFor('a')
  expect(anythingUnsent()).toBe(true)
  await makeRoomFor('b')
  expect(anythingUnsent()).toBe(false)
  expect([...phone.kept.keys()].sort()).toEqual(['banshi.large', 'banshi.owner'])
  await erasePrivate()
  expect(kept('owner')).toBeNull()
})
