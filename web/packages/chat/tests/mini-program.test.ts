/** The client as a mini-program loads it: bundled by Vite, without a global object, a window or `Function`. */
import { createContext, runInContext } from 'node:vm'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { build, type Rollup } from 'vite'
import WebSocket from 'ws'

import { miniProgramGlobals } from '../mini-program'
import type * as chat from '../src'
import { cleanUp, device, newCitizen, office, texts, wait } from './harness'

afterEach(cleanUp)

async function bundle(plugins: ReturnType<typeof miniProgramGlobals>[]): Promise<string> {
  const entry = fileURLToPath(new URL('../src/index.ts', import.meta.url))
  const built = (await build({
    configFile: false,
    logLevel: 'silent',
    plugins,
    build: { write: false, minify: false, lib: { entry, formats: ['iife'], name: 'banshiChat' } },
  })) as Rollup.RollupOutput[]
  return built[0]?.output[0].code ?? ''
}

/** What WeChat leaves of the language's surroundings: `globalThis` is hidden, code from strings is forbidden. */
function load(code: string): typeof chat {
  const surroundings = { setTimeout, clearTimeout, console }
  const context = createContext(surroundings, { codeGeneration: { strings: false, wasm: false } })
  return runInContext(`((globalThis) => { ${code}; return banshiChat })()`, context) as typeof chat
}

test('a bundle without the plugin does not load, one with it talks', async () => {
  const plain = await bundle([])
  expect(() => load(plain)).toThrow('Code generation from strings')

  const { ChatClient, socketIoTransport, wxWebSocket } = load(await bundle([miniProgramGlobals()]))
  const connectSocket: chat.ConnectSocket = ({ url }) => {
    const socket = new WebSocket(url)
    return {
      send: ({ data, fail }) => socket.send(data, (error) => error && fail?.({ errMsg: error.message })),
      close: ({ code, reason }) => socket.close(code ?? 1000, reason),
      onOpen: (listener) => void socket.on('open', listener),
      onMessage: (listener) => void socket.on('message', (data) => listener({ data: String(data) })),
      onError: (listener) => void socket.on('error', (error) => listener({ errMsg: error.message })),
      onClose: (listener) => void socket.on('close', (code, reason) => listener({ code, reason: String(reason) })),
    }
  }
  const transport = socketIoTransport({ url: office.url, WebSocket: wxWebSocket(connectSocket) })
  const phone = device(await newCitizen(), { transport, Client: ChatClient })
  await phone.start()
  const { conv, done } = phone.open({ subject: '小程序', matter_id: office.matter_id, text: '您好' })
  await done
  await wait(() => phone.view(conv).pending === 0)
  expect(texts(phone, conv)).toEqual(['您好'])
  await phone.close(conv)
})
