/**
 * Openings that are cut, tabs, and a server that dies: nothing is lost, nothing comes twice, both sides have one order.
 * The connection is cut at every other step in `tests/conformance`.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import type { ChatClient, ChatOptions, Refused } from '../src'
import {
  bubbles,
  cleanUp,
  closeAll,
  command,
  device,
  expectAll,
  newCitizen,
  office,
  online,
  proxy,
  texts,
  wait,
} from './harness'
import type { Decide, Fate, Proxy } from './proxy'
import type { Person } from './server'

let citizen: Person
let through: Proxy
let area: Map<string, string>
let phone: ChatClient
let desk: ChatClient
let conv: string

beforeAll(async () => {
  citizen = await newCitizen()
})
beforeEach(async () => {
  through = await proxy()
  area = new Map()
  phone = await online(citizen, { area, through })
  desk = await online(office.clerk)
  const { conv: local, done } = phone.open({ subject: '结婚登记', matter_id: office.matter_id, text: '您好' })
  await done
  conv = phone.resolve(local)
  await wait(() => texts(desk, conv).length === 1 && phone.view(conv).pending === 0)
})
afterEach(async () => {
  await closeAll(desk)
  await cleanUp()
})

/** The page goes down without a word and another one opens on what was stored at that moment. */
function reload(options: Partial<ChatOptions> = {}): ChatClient {
  const left = new Map(area)
  phone.sleep()
  area = left
  return device(citizen, { area, through, ...options })
}

/** This fate for the first frame that matches, everything else passes. */
function once(matches: RegExp, fate: Fate): Decide {
  let done = false
  return (text) => {
    if (done || !matches.test(text)) return 'pass'
    done = true
    return fate
  }
}

const OP = /^42\/citizen,\["op"/

test('without a network, loaded anew, and typed on: all of it goes out in the order in which it was typed', async () => {
  await wait(() => ![...area.keys()].some((key) => key.includes(':out:'))) // the log is stored
  through.refuse = true
  through.cutAll()
  await wait(() => !phone.status.online && phone.status.attempt > 0)
  await phone.send(conv, { text: '一' }).stored
  phone = reload()
  await phone.start()
  expect(texts(phone, conv)).toEqual(['您好', '一'])
  expect(bubbles(phone, conv).map((bubble) => bubble.state)).toEqual([
    expect.stringMatching(/sent|delivered/),
    'sending',
  ])
  await phone.send(conv, { text: '二' }).stored
  const fresh = phone.open({ subject: '又一件', matter_id: office.matter_id, text: '另问' })
  phone.send(fresh.conv, { text: '另问二' })
  await Promise.all([fresh.stored])
  await wait(() => phone.status.nextTryAt !== null)
  expect(phone.status).toMatchObject({ online: false, reason: 'network' })
  through.heal()
  phone.wake()
  await expectAll(
    [
      [phone, citizen],
      [desk, office.clerk],
    ],
    conv,
    ['您好', '一', '二'],
  )
  await wait(() => !phone.resolve(fresh.conv).startsWith('new:'))
  await expectAll(
    [
      [phone, citizen],
      [desk, office.clerk],
    ],
    phone.resolve(fresh.conv),
    ['另问', '另问二'],
  )
})

test.each([
  { name: 'before the opening is answered', down: /^43\/citizen,\d+\[.*"consultation":/, fate: 'cut-before' as const },
  { name: 'before its first operation comes', down: OP, fate: 'cut-before' as const },
  { name: 'with its first message alone lost', down: /"op".*"kind":"message"/, fate: 'drop' as const },
])('a consultation is opened once, cut $name', async ({ down, fate }) => {
  through.down = once(down, fate)
  const { conv: local } = phone.open({ subject: '开一次', matter_id: office.matter_id, text: '首句' })
  await phone.send(local, { text: '次句' }).stored
  await wait(() => through.cuts > 0)
  phone = reload()
  await phone.start()
  await wait(() => phone.list().filter((each) => each.subject === '开一次').length === 1 && phone.status.online)
  const found = await wait(() => phone.list().find((each) => each.subject === '开一次' && each.header))
  await wait(() => texts(desk, found.conv).length === 2)
  await expectAll(
    [
      [phone, citizen],
      [desk, office.clerk],
    ],
    found.conv,
    ['首句', '次句'],
  )
  expect(phone.list().filter((each) => each.subject === '开一次')).toHaveLength(1)
})

test('a correction that is refused after the page was loaded anew is told', async () => {
  const { seq } = await phone.send(conv, { text: '改之前' }).done
  const other = await online(citizen)
  through.refuse = true
  through.cutAll()
  await wait(() => !phone.status.online)
  await phone.edit(conv, seq, '改之后').stored
  await other.recall(conv, seq).done
  const told: Refused[] = []
  const complained = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  phone = reload({
    onRefused: (refused) => {
      told.push(refused)
      throw new Error('no room to keep it')
    },
  })
  phone.send(conv, { text: '接着说' })
  through.heal()
  await phone.start()
  await wait(() => told.length > 0)
  expect(told).toEqual([
    {
      conv,
      kind: 'edit',
      targetSeq: seq,
      text: '改之后',
      problem: expect.objectContaining({ detail: expect.any(String) }),
    },
  ])
  // a page that could not keep the words holds up nothing
  await wait(() => bubbles(phone, conv).some((bubble) => bubble.content.text === '接着说' && bubble.seq !== undefined))
  expect(complained).toHaveBeenCalledOnce()
  complained.mockRestore()
  await wait(() => ![...area.keys()].some((key) => key.includes(':out:')))
  expect(phone.view(conv).pending).toBe(0)
})

describe('two tabs of one person', () => {
  test('send the same outbox once, in order, and each shows what the other typed', async () => {
    const log = () => [...area].find(([key]) => key.endsWith(`:log:${conv}`))?.[1] ?? ''
    await wait(() => log().includes('您好')) // what is stored is what the other tab shows
    through.refuse = true
    through.cutAll()
    await wait(() => !phone.status.online)
    const first = ['甲一', '甲二', '甲三']
    await Promise.all(first.map((text) => phone.send(conv, { text }).stored))
    const other = device(citizen, { area, through })
    await other.start()
    expect(texts(other, conv)).toEqual(['您好', ...first])
    const second = ['乙一', '乙二']
    await Promise.all(second.map((text) => other.send(conv, { text }).stored))
    through.heal()
    await wait(() => texts(desk, conv).length === 6)
    const order = texts(desk, conv)
    expect(order.filter((text) => text.startsWith('甲'))).toEqual(first)
    expect(order.filter((text) => text.startsWith('乙'))).toEqual(second)
    await expectAll(
      [
        [phone, citizen],
        [other, citizen],
        [desk, office.clerk],
      ],
      conv,
      order,
    )
    await wait(() => ![...area.keys()].some((key) => key.includes(':out:')))
  })

  test('what a tab left behind is sent by the one that comes online', async () => {
    const other = await online(citizen, { area })
    through.refuse = true
    through.cutAll()
    await wait(() => !phone.status.online)
    await phone.send(conv, { text: '遗留' }).stored
    await phone.stop()
    other.sleep()
    other.wake()
    await expectAll(
      [
        [other, citizen],
        [desk, office.clerk],
      ],
      conv,
      ['您好', '遗留'],
    )
  })
})

// one test, since a start of the server takes seconds
test('the server is killed while both sides talk and a page is loaded anew, and one log is restored', async () => {
  const { conv: local, done } = phone.open({ subject: '恢复', matter_id: office.matter_id, text: '之前' })
  await done
  const restored = phone.resolve(local)
  await wait(() => texts(desk, restored).length === 1)
  const asked = Array.from({ length: 12 }, (_, i) => `问${i}`)
  const answered = Array.from({ length: 12 }, (_, i) => `答${i}`)
  for (const text of asked.slice(0, 6)) phone.send(conv, { text })
  for (const text of answered) desk.send(conv, { text })
  await wait(() => texts(desk, conv).includes('问1'))
  await command('kill')
  await wait(() => !phone.status.online && !desk.status.online)
  await Promise.all(asked.slice(6).map((text) => phone.send(conv, { text }).stored))
  await phone.send(restored, { text: '之后' }).stored
  phone = reload()
  await phone.start()
  await command(`epoch ${restored}`)
  await command('start')
  await wait(() => phone.view(conv).pending === 0 && desk.view(conv).pending === 0, 30_000)
  await wait(() => texts(desk, conv).length === 25)
  const order = texts(desk, conv)
  expect(order.filter((text) => text.startsWith('问'))).toEqual(asked)
  expect(order.filter((text) => text.startsWith('答'))).toEqual(answered)
  const both: [ChatClient, Person][] = [
    [phone, citizen],
    [desk, office.clerk],
  ]
  await expectAll(both, conv, order)
  // numbers of another epoch mean nothing: the log begins again, and what was typed goes out
  await wait(() => phone.operations(restored)[0]?.epoch === 2)
  await expectAll(both, restored, ['之前', '之后'])
}, 120_000)
