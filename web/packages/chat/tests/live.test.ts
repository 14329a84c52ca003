import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { ChatProblem, systemClock, type ChatClient, type Clock } from '../src'
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

  test('edits, recalls, quotes and notes fold as the server folds them', async () => {
    const conv = await opened('要带户口本吗')
    const sent = await desk.send(conv, { text: '要戴', reply_to: bubbles(desk, conv)[0]?.seq }).done
    await desk.edit(conv, sent.seq, '要带').done
    const wrong = await desk.send(conv, { text: '发错了' }).done
    await wait(() => texts(phone, conv).includes('发错了'))
    await desk.recall(conv, wrong.seq).done
    await desk.note(conv, '已核对').done
    await desk.send(conv, { text: '以上' }).done
    await wait(() => texts(phone, conv).includes('以上'))
    expect(texts(phone, conv)).toEqual(['要带户口本吗', '要带', '', '以上'])
    expect(texts(desk, conv)).toEqual(['要带户口本吗', '要带', '', '已核对', '以上'])
    const [asked, answer, recalled] = bubbles(phone, conv)
    expect(answer).toMatchObject({ quote: { seq: asked?.seq, text: '要带户口本吗' }, editedAt: expect.any(String) })
    expect(recalled).toMatchObject({ recalled: true, content: {} })
    expect(JSON.stringify(phone.operations(conv))).not.toContain('发错了')
    await expectFetched(phone, citizen, conv)
    await expectFetched(desk, office.clerk, conv)
  })

  test('another device of the citizen has the same, what was read there is read here', async () => {
    const conv = await opened()
    const second = await online(citizen)
    await desk.send(conv, { text: '请讲' }).done
    await wait(() => second.view(conv).unread === 1 && phone.view(conv).unread === 1)
    second.markRead(conv)
    await wait(() => phone.view(conv).unread === 0)
    second.send(conv, { text: '从另一台说' })
    await expectAll(
      [
        [phone, citizen],
        [second, citizen],
        [desk, office.clerk],
      ],
      conv,
      ['您好', '请讲', '从另一台说'],
    )
    expect(bubbles(phone, conv).map((bubble) => bubble.mine)).toEqual([true, false, true])
  })

  test('typing shows on the other side and goes away', async () => {
    const conv = await opened()
    // a desk on which time goes ten times as fast
    const clock: Clock = { ...systemClock, setTimeout: (work, after) => systemClock.setTimeout(work, after / 10) }
    const fast = await online(office.clerk, { clock, answerTimeout: 8_000, beatEvery: 10_000 })
    await fast.follow(conv)
    phone.typing(conv)
    await wait(() => fast.view(conv).typing === 'citizen')
    await wait(() => fast.view(conv).typing === null)
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

  test('what is refused stays as a failed bubble that can be tried again or taken away', async () => {
    const conv = await opened()
    await desk.close(conv)
    await wait(() => phone.view(conv).header?.state === 'closed')
    const { done } = phone.send(conv, { text: '还有一件事' })
    await expect(done).rejects.toMatchObject({ code: 'consultation-closed' })
    const failed = bubbles(phone, conv).at(-1)
    expect(failed).toMatchObject({ state: 'failed', problem: { code: 'consultation-closed' } })
    await phone.reopen(conv)
    failed?.retry()
    await wait(() => phone.view(conv).pending === 0)
    expect(texts(phone, conv)).toEqual(['您好', '还有一件事'])
    const empty = phone.send(conv, { text: ' ' })
    await expect(empty.done).rejects.toMatchObject({ code: 'invalid-input' })
    bubbles(phone, conv).at(-1)?.discard()
    expect(texts(phone, conv)).toEqual(['您好', '还有一件事'])
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
