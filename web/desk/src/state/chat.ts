import {
  ChatClient,
  socketIoTransport,
  systemClock,
  webStorage,
  type ConversationView,
  type Refused,
  type Status,
  type ThreadItem,
} from '@banshi/chat'
import { computed, shallowReactive, shallowRef } from 'vue'
import { api } from '../api'
import { blobStore } from './blobs'
import { connection } from './connection'
import { serverNow, setClock } from './now'
import { hasRole, logInAgain, onBegin, onLeave, session, type Me } from './session'
import { countUnsent } from './unsent'
import { upload } from './upload'

const PREFIX = 'banshi-chat'

/** Raised with every batch of changes; read it in a computed value before asking the client. */
const version = shallowRef(0)
const held = shallowReactive({ client: null as ChatClient | null, status: null as Status | null })

/** How the connection stands; null before somebody who talks with citizens is logged in. */
export const chatStatus = computed(() => held.status)

/** The one client of this page. Only for pages that are shown to who may talk with citizens. */
export function chat(): ChatClient {
  if (!held.client) throw new Error('nobody who talks with citizens is logged in')
  return held.client
}

/** All consultations known here, the latest first. */
export const conversations = computed<ConversationView[]>(() => {
  void version.value
  return held.client?.list() ?? []
})

/** The bubbles and lines of one consultation. Read it inside a computed value. */
export function threadOf(conv: string): readonly ThreadItem[] {
  void version.value
  return held.client?.thread(conv) ?? []
}

/** One consultation as lists show it. Read it inside a computed value. */
export function viewOf(conv: string): ConversationView | null {
  void version.value
  return held.client?.view(conv) ?? null
}

/** Whether the person answers citizens. The server opens desks to nobody else. */
export function answers(): boolean {
  return hasRole('clerk', 'lead', 'triage')
}

const changeListeners: ((convs: ReadonlySet<string>) => void)[] = []

/** Be told which consultations changed. */
export function onChange(listener: (convs: ReadonlySet<string>) => void): void {
  changeListeners.push(listener)
}

const refusedListeners: ((refused: Refused) => void)[] = []

/** Be told of changes of messages that were refused, also of those that an earlier page had sent. */
export function onRefused(listener: (refused: Refused) => void): void {
  refusedListeners.push(listener)
}

function begin(me: Me): void {
  void setClock().catch(() => undefined)
  if (!answers() || held.client) return
  const client = new ChatClient({
    namespace: '/clerk',
    me: { id: me.id, name: me.name },
    device: 'desk',
    prefix: PREFIX,
    getTicket: async () => (await api.post('/api/socket-tickets')).ticket,
    transport: socketIoTransport(),
    storage: webStorage(localStorage),
    // what is on its way shows the same time as what has arrived, whatever this computer's clock says
    clock: { ...systemClock, now: serverNow },
    blobStore,
    upload,
    loadReceipts: (conv) =>
      api.get('/api/consultations/{consultation_id}/receipts', { path: { consultation_id: conv } }),
    onRefused: (refused) => refusedListeners.forEach((listener) => listener(refused)),
    onSessionEnded: () => void logInAgain().then((again) => (again ? client.start() : undefined)),
  })
  held.client = client
  held.status = client.status
  client.subscribe(({ convs, status }) => {
    if (status) {
      const next = client.status
      if (next.online) connection.online = true
      connection.tooOld = next.reason === 'unsupported-version'
      held.status = next
    }
    version.value += 1
    for (const listener of changeListeners) listener(convs)
  })
  void client.start()
}

async function leave(): Promise<void> {
  const { client } = held
  if (!client || !session.me) return
  await client.stop()
  // What citizens wrote does not stay on a shared computer; what was not sent waits for this person.
  const log = `${PREFIX}:staff:${session.me.id}:log:`
  for (const key of Object.keys(localStorage)) if (key.startsWith(log)) localStorage.removeItem(key)
}

/** The network may be back: try at once. */
export function wakeChat(): void {
  held.client?.wake()
}

/** Presence holds for all desks of a person: their other tabs ask the server for the same and show its answer. */
const presence = new BroadcastChannel('banshi-desk-presence')
presence.onmessage = ({ data }: MessageEvent<{ id: string; available: boolean }>) => {
  if (held.client && data.id === session.me?.id && held.status?.available !== data.available) {
    void held.client.setPresence(data.available ? 'available' : 'away').catch(() => undefined)
  }
}

/** Take new consultations, or not. Resolves to what the server says now. */
export async function setPresence(wanted: boolean): Promise<boolean> {
  const available = await chat().setPresence(wanted ? 'available' : 'away')
  presence.postMessage({ id: session.me?.id ?? '', available })
  return available
}

onBegin(begin)
onLeave(leave)
countUnsent(() => held.client?.list().reduce((sum, view) => sum + view.pending, 0) ?? 0)
window.addEventListener('online', wakeChat)
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wakeChat())
