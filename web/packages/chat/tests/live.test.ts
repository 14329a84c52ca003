import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { ChatProblem, type ChatClient } from '../src'
import {
  bubbles,
  cleanUp,
  closeAll,
  expectAll,
  expectFetched,
  newCitizen,
  office,
  online,
  texts,
  wait,
} from './harness'
import type { Person } from './server'

let citizen: Person
let phone: ChatClient
let desk: ChatClient

beforeEach(async () => {
  citizen = await newCitizen()
  phone = await online(citizen)
  desk = await online(office.clerk)
})
afterEach(async () => {
  await closeAll(desk)
  await cleanUp()
})

async function opened(text = '您好'): Promise<string> {
  const { conv, done } = phone.open({ subject: '结婚登记', matter_id: office.matter_id, text })
  await done
  const id = phone.resolve(conv)
  await wait(() => texts(desk, id).includes(text))
  return id
}

describe('talking', () => {
  test('both sides show the same in the same order, as the server has it', async () => {
    const conv = await opened()
    for (let i = 0; i < 5; i++) {
      phone.send(conv, { text: `问${i}` })
      await desk.send(conv, { text: `答${i}` }).done
    }
    await wait(() => texts(phone, conv).length === 11 && phone.view(conv).pending === 0)
    const order = texts(phone, conv)
    expect([...order].sort()).toEqual(
      ['您好', '问0', '问1', '问2', '问3', '问4', '答0', '答1', '答2', '答3', '答4'].sort(),
    )
    expect(order.filter((text) => text.startsWith('问'))).toEqual(['问0', '问1', '问2', '问3', '问4'])
    await expectAll(
      [
        [phone, citizen],
        [desk, office.clerk],
      ],
      conv,
      order,
    )
  })

  test('a bubble keeps its key and never vanishes from typing to reading', async () => {
    const { conv: local } = phone.open({ subject: '咨询', matter_id: office.matter_id, text: '第一句' })
    phone.send(local, { text: '第二句' })
    const keys = phone.thread(local).map((item) => item.key)
    const seen: string[][] = []
    phone.subscribe(() => seen.push(bubbles(phone, local).map((bubble) => bubble.key)))
    await wait(() => phone.view(local).pending === 0)
    const conv = phone.resolve(local)
    await wait(() => texts(desk, conv).length === 2)
    await wait(() => bubbles(phone, conv).every((bubble) => bubble.state === 'delivered'))
    desk.markRead(conv)
    await wait(() => bubbles(phone, conv).every((bubble) => bubble.state === 'read'))
    expect(keys).toHaveLength(2)
    for (const shown of seen) expect(shown).toEqual(keys)
    expect(desk.view(conv).unread).toBe(0)
  })
})

describe('handling', () => {
  test('a clerk transfers, the colleague takes, closes; the citizen rates and reopens', async () => {
    const conv = await opened()
    await expect(desk.transfer(conv, office.post_id, '转岗', 0)).rejects.toMatchObject({ code: 'edit-conflict' })
    await desk.close(conv, { reason: 'answered' })
    await wait(() => phone.view(conv).header?.state === 'closed')
    await phone.rate(conv, 5, '很好')
    await expect(phone.rate(conv, 4)).rejects.toBeInstanceOf(ChatProblem)
    await phone.reopen(conv)
    await wait(() => phone.view(conv).header?.state !== 'closed')
    await expectFetched(phone, citizen, conv)
    const kinds = phone.thread(conv).flatMap((item) => (item.type === 'system' ? [item.kind] : []))
    expect(kinds).toEqual(expect.arrayContaining(['opened', 'assigned', 'closed', 'rated', 'reopened']))
  })

  test('a desk says whether it is there', async () => {
    expect(await desk.setPresence('away')).toBe(false)
    expect(desk.status.available).toBe(false)
    expect(await desk.setPresence('available')).toBe(true)
  })

  test("somebody else's consultation is not found", async () => {
    const conv = await opened()
    const stranger = await online(await newCitizen())
    await expect(stranger.follow(conv)).rejects.toMatchObject({ code: 'not-found' })
    expect(stranger.list()).toEqual([])
  })
})
