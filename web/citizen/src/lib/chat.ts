/**
 * The one consultation client of this phone, and what pages need to show it.
 *
 * The client itself is fetched when the first consultation page opens; the first page of the app does not carry it.
 */
import type { ChatClient, Consultation, ConversationView, Status, ThreadItem } from '@banshi/chat'
import { computed, reactive, shallowRef, watch, type ComputedRef } from 'vue'
import { api, type Schemas } from './api'
import { photoBytes, inBrowser } from './outbox-storage'
import { serverOrigin } from './origin'
import { giveBack } from './refused'
import { dropSession, onLeave, session } from './session'
import { uploadPhoto } from './uploads'
// #ifndef H5
import * as chatPackage from './chat-code'
// #endif

/** Grows with every change of what the client shows; computed values read it before they ask the client. */
const revision = shallowRef(0)
const client = shallowRef<ChatClient | null>(null)
let starting: Promise<ChatClient> | null = null
let owner = ''

/** The number of unread messages, for badges; 0 until the client was needed. */
export const unread = computed(() => {
  void revision.value
  return client.value?.list().reduce((sum, one) => sum + one.unread, 0) ?? 0
})

/** How the connection stands; null before the client is there. */
export const status: ComputedRef<Status | null> = computed(() => {
  void revision.value
  return client.value?.status ?? null
})

/** The client of whoever is logged in: fetched, started, connecting. Rejects where its code cannot be loaded. */
export function openChat(): Promise<ChatClient> {
  const me = session.value?.citizenId ?? ''
  if (starting && owner === me) return starting
  void closeChat()
  owner = me
  starting = start(me).catch((error: unknown) => {
    starting = null
    throw error
  })
  return starting
}

/** A browser fetches the client when it is needed; a mini-program is loaded as a whole. */
async function chatCode(): Promise<typeof import('./chat-code')> {
  // #ifdef H5
  return import('./chat-code')
  // #endif
  // #ifndef H5
  return chatPackage
  // #endif
}

async function start(me: string): Promise<ChatClient> {
  const { ChatClient, socketIoTransport, uniStorage, webStorage, wxWebSocket } = await chatCode()
  const transport = inBrowser
    ? socketIoTransport({ url: serverOrigin() })
    : socketIoTransport({ url: serverOrigin(), WebSocket: wxWebSocket(uni.connectSocket as never) })
  const made = new ChatClient({
    namespace: '/citizen',
    me: { id: me, name: '' },
    device: inBrowser ? 'h5' : 'mp-weixin',
    getTicket: async () => (await api.post('/api/socket-tickets')).ticket,
    transport,
    // of `uni`, a browser's build keeps only the members that are called by name
    storage: inBrowser ? webStorage(localStorage) : uniStorage(uni),
    blobStore: inBrowser ? photoBytes : undefined,
    upload: async (photo, uploadId, onProgress, signal) => {
      const data = photo.data instanceof Blob ? photo.data : undefined
      const fields = { upload_id: uploadId }
      const { ref, name } = photo
      await uploadPhoto({ path: '/api/consultation-photos', ref, data, name, fields, onProgress, signal })
    },
    loadReceipts: (conv) =>
      api.get('/api/consultations/{consultation_id}/receipts', { path: { consultation_id: conv } }),
    onRefused: giveBack,
    onSessionEnded: () => void api.renew().then((renewed) => (renewed ? reopen() : dropSession())),
  })
  made.subscribe(changed)
  client.value = made
  follow()
  await made.start()
  revision.value += 1
  return made
}

let told: ReturnType<typeof setTimeout> | undefined

/** A log of hundreds of operations is drawn once, not at each of them. */
function changed(): void {
  told ??= setTimeout(() => {
    told = undefined
    revision.value += 1
  }, 30)
}

async function reopen(): Promise<void> {
  await closeChat()
  await openChat()
}

/** Disconnect; what was not sent is kept for this person. */
export async function closeChat(): Promise<void> {
  const old = client.value
  client.value = null
  starting = null
  await old?.stop()
}

let following = false

/** The network and the app come and go. */
function follow(): void {
  if (following) return
  following = true
  onLeave.add(closeChat)
  uni.onNetworkStatusChange(({ isConnected }) => isConnected && client.value?.wake())
  uni.onAppShow?.(() => client.value?.wake())
  // #ifdef H5
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') client.value?.wake()
  })
  window.addEventListener('online', () => client.value?.wake())
  window.addEventListener('pageshow', () => client.value?.wake())
  // #endif
  // #ifndef H5
  // a mini-program in the background has no network after five seconds
  uni.onAppHide?.(() => client.value?.sleep())
  // #endif
  watch(
    () => session.value?.citizenId ?? '',
    (now) => {
      if (now !== owner) void closeChat()
    },
  )
}

/** All consultations this phone knows, the latest first. */
export const conversations: ComputedRef<ConversationView[]> = computed(() => {
  void revision.value
  return client.value?.list() ?? []
})

/** One consultation as a page shows it; `conv` may change from `new:…` to its id. */
export function useConversation(conv: () => string): {
  view: ComputedRef<ConversationView | null>
  items: ComputedRef<readonly ThreadItem[]>
  header: ComputedRef<Consultation | undefined>
} {
  const view = computed(() => {
    void revision.value
    return client.value && conv() ? client.value.view(conv()) : null
  })
  const items = computed(() => {
    void revision.value
    return client.value && conv() ? [...client.value.thread(conv())] : []
  })
  return { view, items, header: computed(() => view.value?.header) }
}

const offices = reactive(new Map<string, string>())
let asked: Promise<void> | null = null

/** The names of departments, for “who answers”. */
export function officeName(departmentId: string | null | undefined): string {
  if (!departmentId) return ''
  asked ??= loadOffices().catch(() => {
    asked = null
  })
  return offices.get(departmentId) ?? ''
}

async function loadOffices(): Promise<void> {
  let cursor: string | null | undefined
  do {
    const page: Schemas['Page_DepartmentCard_'] = await api.get('/api/departments', {
      query: { limit: 100, cursor: cursor ?? undefined },
    })
    for (const one of page.items) offices.set(one.id, one.name)
    cursor = page.next_cursor
  } while (cursor)
}

const pictures = new Map<string, Promise<string>>()

/**
 * A picture that only its owner may see, as something an image can show: fetched with the bearer token, then an object
 * address in a browser, a temporary file in the mini-program. Kept as long as the app runs; rejects when it is gone.
 */
export function pictureOf(path: string): Promise<string> {
  const found = pictures.get(path)
  if (found) return found
  const loading = load(path, true)
  pictures.set(path, loading)
  loading.catch(() => pictures.delete(path))
  return loading
}

async function load(path: string, again: boolean): Promise<string> {
  // #ifdef H5
  const answer = await fetch(api.url(path), { headers: api.authorization() })
  if (answer.status === 401 && again && (await api.renew())) return load(path, false)
  if (!answer.ok) throw new Error(`picture ${answer.status}`)
  return URL.createObjectURL(await answer.blob())
  // #endif
  // #ifndef H5
  const file = await new Promise<{ statusCode: number; tempFilePath: string }>((resolve, reject) => {
    uni.downloadFile({
      url: api.url(path),
      header: api.authorization(),
      success: resolve,
      fail: (problem: { errMsg?: string }) => reject(new Error(problem.errMsg)),
    })
  })
  if (file.statusCode === 401 && again && (await api.renew())) return load(path, false)
  if (file.statusCode !== 200) throw new Error(`picture ${file.statusCode}`)
  return file.tempFilePath
  // #endif
}
