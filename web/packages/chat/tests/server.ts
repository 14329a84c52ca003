/** Starts the real server (tests/web/chat_server.py) once, and lets the tests send it commands over a socket. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createInterface } from 'node:readline'
import type { TestProject } from 'vitest/node'

export interface Person {
  id: string
  name: string
  token: string
}

export interface Greeting {
  url: string
  matter_id: string
  post_id: string
  clerk: Person
  colleague: Person
}

declare module 'vitest' {
  interface ProvidedContext {
    greeting: Greeting
    control: number
  }
}

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const venv = `${ROOT}.venv/bin/python`
  const python = process.env.BANSHI_PYTHON ?? (existsSync(venv) ? venv : 'python3')
  const child = spawn(python, ['-m', 'tests.web.chat_server'], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting: ((answer: string) => void)[] = []
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    if (line.startsWith('{')) waiting.shift()?.(line)
  })
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  const answer = (): Promise<string> =>
    Promise.race([
      new Promise<string>((resolve) => waiting.push(resolve)),
      ended.then((code) => Promise.reject(new Error(`the server ended: ${code}`))),
    ])
  project.provide('greeting', JSON.parse(await answer()) as Greeting)

  const control = createServer((socket) => {
    createInterface({ input: socket }).on('line', (command) => {
      const reply = answer()
      child.stdin.write(`${command}\n`)
      reply.then(
        (line) => socket.end(`${line}\n`),
        (error: Error) => socket.destroy(error),
      )
    })
  })
  await new Promise<void>((resolve) => control.listen(0, '127.0.0.1', resolve))
  project.provide('control', (control.address() as AddressInfo).port)

  return async () => {
    control.close()
    child.stdin.end()
    await ended
  }
}
