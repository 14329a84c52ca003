/** What the platform gives the pages, as far as modules without a page need it. */
import { beforeEach } from 'vitest'

interface Asked {
  url: string
  method: string
  data?: string
  success: (answer: { statusCode: number; header: object; data: string }) => void
  fail: (problem: { errMsg: string }) => void
}

/** How much the phone's store takes, in letters; and the server, where a test has one. */
export const phone = {
  room: Infinity,
  kept: new Map<string, string>(),
  server: null as null | ((method: string, path: string, body: unknown) => { status: number; body: unknown } | null),
}

Object.assign(globalThis, {
  window: new EventTarget(),
  getCurrentPages: () => [],
  uni: {
    getStorageSync: (key: string) => phone.kept.get(key) ?? '',
    setStorageSync: (key: string, value: string) => {
      if (value.length > phone.room) throw new Error('QuotaExceededError')
      phone.kept.set(key, value)
    },
    removeStorageSync: (key: string) => phone.kept.delete(key),
    getStorageInfoSync: () => ({ keys: [...phone.kept.keys()] }),
    request: ({ url, method, data, success, fail }: Asked) => {
      const answer = phone.server?.(method, url, data === undefined ? undefined : JSON.parse(data))
      if (answer) success({ statusCode: answer.status, header: {}, data: JSON.stringify(answer.body) })
      else fail({ errMsg: 'request:fail' })
    },
    getSavedFileList: ({ success }: { success: (found: object) => void }) => success({ fileList: [] }),
  },
})

beforeEach(() => {
  phone.room = Infinity
  phone.kept.clear()
  phone.server = null
})
