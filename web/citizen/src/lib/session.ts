import { Api, ApiProblem } from '@banshi/api'
import type { Schemas } from '@banshi/api'
import { computed, ref } from 'vue'
import { serverOrigin } from './origin'
import { erasePrivate, makeRoomFor } from './private'
import { forget, keep, kept, onOtherTab } from './store'
import { loadSettings } from './settings'
import { uniTransport } from './transport'

/** Who is logged in on this phone. */
export interface Session {
  access: string
  refresh: string
  id: string
  citizenId: string
}

const NAME = 'session'
const DEVICE_LIMIT = 64

export const session = ref<Session | null>(kept<Session>(NAME))
export const loggedIn = computed(() => session.value !== null)
/** Why the last log-in did not succeed; null when it did. */
export const loginProblem = ref<string | null>(null)

/** Asks without a token: logging in and renewing must not wait for themselves. */
const plain = new Api({ base: serverOrigin(), transport: uniTransport })

onOtherTab(NAME, () => (session.value = kept<Session>(NAME)))

function take(next: Session | null): void {
  session.value = next
  if (next) keep(NAME, next)
  else forget(NAME)
}

/** Nobody is logged in any more, as the server says. Another tab may know better by now. */
export function dropSession(): void {
  const stored = kept<Session>(NAME)
  if (stored && stored.access !== session.value?.access) session.value = stored
  else take(null)
}

/**
 * New tokens for old; true when there are. Tabs of one browser take turns, and one that finds the work done by
 * another takes its tokens: a refresh token is for one use.
 */
export async function renewTokens(): Promise<boolean> {
  // #ifdef H5
  if (navigator.locks) return (await navigator.locks.request('banshi.refresh', renew)) as boolean
  // #endif
  return renew()
}

async function renew(): Promise<boolean> {
  const stored = kept<Session>(NAME)
  const had = session.value
  if (!stored || !had) return false
  if (stored.access !== had.access) {
    session.value = stored
    return true
  }
  try {
    const tokens = await plain.post('/api/citizen/refresh', { body: { refresh_token: stored.refresh } })
    take({ ...stored, access: tokens.access_token, refresh: tokens.refresh_token, id: tokens.session_id })
    return true
  } catch (error) {
    if (error instanceof ApiProblem && (error.status === 401 || error.status === 403)) return false
    throw error
  }
}

async function logIn(code: string): Promise<void> {
  const view: Schemas['CitizenLoginView'] = await plain.post('/api/citizen/login', { body: { code, device: device() } })
  await makeRoomFor(view.citizen.id)
  take({ access: view.access_token, refresh: view.refresh_token, id: view.session_id, citizenId: view.citizen.id })
  loginProblem.value = null
}

let finishing: Promise<void> | null = null

/** After the way out to log in (browser): take the code from the address. Safe to call again; awaits the same. */
export function finishLogin(): Promise<void> {
  finishing ??= takeCode()
  return finishing
}

async function takeCode(): Promise<void> {
  // #ifdef H5
  const asked = new URLSearchParams(location.search)
  const code = asked.get('code')
  if (!code) return
  asked.delete('code')
  const rest = asked.toString()
  // A code is good once: gone from the address before it is used, so that a reload does not try it again.
  history.replaceState(history.state, '', location.pathname + (rest ? `?${rest}` : '') + location.hash)
  try {
    await logIn(code)
  } catch (error) {
    if (!session.value) loginProblem.value = error instanceof ApiProblem ? error.message : String(error)
  }
  // #endif
}

/**
 * True when somebody is logged in, after asking where needed. In the browser asking leaves the page and comes back
 * to the same address; the promise then stays open.
 */
export async function ensureLogin(): Promise<boolean> {
  await finishLogin()
  if (session.value) return true
  // #ifdef MP-WEIXIN
  return loginByWeChat()
  // #endif
  // #ifndef MP-WEIXIN
  return goAndAsk()
  // #endif
}

/** In the mini-program: WeChat says who it is, without a question. */
export async function loginByWeChat(): Promise<boolean> {
  try {
    const { code } = await new Promise<{ code: string }>((resolve, reject) => {
      uni.login({ success: resolve, fail: (problem) => reject(new Error(problem.errMsg)) })
    })
    await logIn(code)
    return true
  } catch (error) {
    loginProblem.value = error instanceof Error ? error.message : String(error)
    return false
  }
}

async function goAndAsk(): Promise<boolean> {
  // #ifdef H5
  const settings = await loadSettings()
  if (settings?.wechat_login.kind === 'standin') {
    location.assign(`${settings.wechat_login.url}?return=${encodeURIComponent(location.href)}`)
    return new Promise(() => undefined)
  }
  uni.navigateTo({ url: '/pages/login/login' })
  // #endif
  return false
}

/** What is to be stopped before the traces of a person are erased. */
export const onLeave = new Set<() => Promise<unknown>>()

/** Log out here: nothing of the person stays on this phone. A session that is over already is as good. */
export async function logOut(end: () => Promise<unknown>): Promise<void> {
  await end().catch((error: unknown) => {
    if (!(error instanceof ApiProblem && error.status === 401)) throw error
  })
  take(null)
  for (const stop of onLeave) await stop().catch(() => undefined)
  await erasePrivate()
}

/** What the list of devices calls this one: maker and model of a phone, browser and system of what has neither. */
function device(): string {
  const info = uni.getSystemInfoSync()
  let names = [info.deviceBrand ?? info.brand, info.deviceModel ?? info.model]
  // #ifdef H5
  names = [info.browserName, info.osName, info.deviceType === 'pc' ? '' : info.deviceModel]
  // #endif
  const printable = (letter: string) => letter >= ' ' && letter !== '\x7f'
  const name = Array.from(names.filter(Boolean).join(' ')).filter(printable).join('')
  return name.slice(0, DEVICE_LIMIT)
}
