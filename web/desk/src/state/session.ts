import { ApiProblem, type Schemas } from '@banshi/api'
import { reactive, readonly, watch } from 'vue'
import { api, door } from '../api'
import { connection } from './connection'

export type Me = Schemas['StaffMeView']
export type Role = Schemas['Role']

const state = reactive({
  me: null as Me | null,
  /** The session ended in the middle: the log-in dialog stands over the page. */
  ended: false,
})

/** Who works at this desk. */
export const session = readonly(state)

/** Who was here last, so that the desk opens without a network; says nothing about what they may do now. */
const KEPT = 'banshi.desk.me'

let asked: Promise<void> | null = null
let waiting: ((again: boolean) => void)[] = []
const leaveWork: (() => Promise<void> | void)[] = []
const beginWork: ((me: Me) => void)[] = []

/** Find out once who is logged in. Without a network it is who was here last, until the server can be asked. */
export function known(): Promise<void> {
  asked ??= api.get('/api/staff/me').then(begin, (error: unknown) => {
    if (error instanceof ApiProblem && error.status === 401) return localStorage.removeItem(KEPT)
    asked = null
    const kept = localStorage.getItem(KEPT)
    if (kept === null || state.me) return
    begin(JSON.parse(kept) as Me)
    const stop = watch(
      () => connection.online,
      (online) => {
        if (!online) return
        stop()
        void recheck().catch(() => undefined)
      },
    )
  })
  return asked
}

function begin(me: Me): void {
  const begun = state.me?.id === me.id && !state.me.must_change_password
  state.me = me
  localStorage.setItem(KEPT, JSON.stringify(me))
  // until an initial password is changed the server refuses everything else
  if (!begun && !me.must_change_password) for (const work of beginWork) work(me)
}

/** Log in; over a page whose session ended, what waited goes on. */
export async function logIn(username: string, password: string): Promise<void> {
  const before = state.me?.id
  const { staff } = await api.post('/api/staff/login', { body: { username, password, device: deviceName() } })
  tabs.postMessage(staff.id)
  if (before !== undefined && before !== staff.id) {
    // Another person: nothing of the page before may stay.
    location.assign('/desk/')
    return
  }
  asked = Promise.resolve()
  begin(staff)
  state.ended = false
  answerWaiting(true)
}

/** Change the own password; the session stays, those of other devices end. */
export async function changePassword(current: string, fresh: string): Promise<void> {
  await api.post('/api/staff/password', { body: { current_password: current, new_password: fresh } })
  const { me } = state
  await recheck().catch(() => me && begin({ ...me, roles: [...me.roles], must_change_password: false }))
}

/** Ask the server again who we are: roles and posts may have changed. */
export async function recheck(): Promise<void> {
  begin(await api.get('/api/staff/me'))
}

/** End the session here and forget what belonged to it. */
export async function logOut(): Promise<void> {
  await forget()
  if (!state.ended) {
    await api.post('/api/sessions/logout').catch((error: unknown) => {
      if (!(error instanceof ApiProblem && error.status === 401)) throw error
    })
  }
  tabs.postMessage(null)
  toTheDoor()
}

/** The person at the desk does not want to log in again: back to the door. */
export async function giveUp(): Promise<void> {
  answerWaiting(false)
  await forget()
  toTheDoor()
}

async function forget(): Promise<void> {
  for (const work of leaveWork) await work()
}

function toTheDoor(): void {
  localStorage.removeItem(KEPT)
  location.assign('/desk/login')
}

/**
 * All tabs share one session: what one of them does to it holds for the others at once. None shows the work of somebody
 * who has gone, and none acts under another name than the one it shows.
 */
const tabs = new BroadcastChannel('banshi-desk-session')
tabs.onmessage = ({ data: id }: MessageEvent<string | null>) => {
  const { me } = state
  if (!me) return
  if (id === null) void forget().finally(toTheDoor)
  else if (id !== me.id) location.assign('/desk/')
  else if (state.ended) {
    state.ended = false
    answerWaiting(true)
  }
}

/** Called with whoever is there, now or when they log in. */
export function onBegin(work: (me: Me) => void): void {
  beginWork.push(work)
  if (state.me && !state.me.must_change_password) work(state.me)
}

/** Called before logging out. */
export function onLeave(work: () => Promise<void> | void): void {
  leaveWork.push(work)
}

/** Whether the person has one of these roles. */
export function hasRole(...roles: Role[]): boolean {
  return state.me?.roles.some((role) => roles.includes(role)) ?? false
}

/** The session ended: show the dialog and wait for it. */
export function logInAgain(): Promise<boolean> {
  if (!state.me) return Promise.resolve(false)
  state.ended = true
  return new Promise((resolve) => waiting.push(resolve))
}

function answerWaiting(again: boolean): void {
  const all = waiting
  waiting = []
  for (const resolve of all) resolve(again)
}

function deviceName(): string {
  const browser = /Edg\//.test(navigator.userAgent)
    ? 'Edge'
    : /Firefox\//.test(navigator.userAgent)
      ? 'Firefox'
      : 'Chrome'
  const system = /Windows/.test(navigator.userAgent)
    ? 'Windows'
    : /Mac OS/.test(navigator.userAgent)
      ? 'macOS'
      : 'Linux'
  return `${system} ${browser}`
}

door.again = logInAgain
door.mustChangePassword = () => {
  if (state.me) state.me.must_change_password = true
}
