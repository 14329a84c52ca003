import { desk, deskChat } from '@banshi/words'
import { watch } from 'vue'
import { wordsOf } from '../language'
import { router } from '../router'
import { chat, chatStatus, onChange } from './chat'
import { notify } from './notices'
import { session } from './session'
import { tabOf, unreadCount } from './waiting'

/*
 * Calls the clerk back to the desk: the number in the title and on the tab's icon, and a notice for what a citizen
 * writes. What waits while no desk is open at all is not known here: only the server can tell a phone then.
 */

const t = wordsOf(deskChat)
const title = wordsOf(desk).title
/** Up to which operation each consultation has been announced, by any tab of this person. */
const SEEN = 'banshi.desk.noticed'
const known = new Map<string, number>()
let listening = false

watch(unreadCount, (count) => {
  document.title = count > 0 ? `(${count > 99 ? '99+' : count}) ${title}` : title
  drawIcon(count)
})

watch(
  () => chatStatus.value?.online,
  (online) => {
    if (!online || listening) return
    // what was there before the desk opened is in the list; only what comes later is announced
    for (const view of chat().list()) known.set(view.conv, view.header?.last_message?.seq ?? 0)
    listening = true
  },
)

onChange((convs) => {
  if (!listening) return
  for (const conv of convs) {
    const { header } = chat().view(conv)
    if (!header) continue
    const message = header.last_message
    const seq = message?.seq ?? 0
    const before = known.get(conv)
    if (before !== undefined && seq <= before) continue
    known.set(conv, seq)
    const tab = tabOf(header)
    if (tab !== 'mine' && tab !== 'waiting') continue
    if (message && message.from.kind !== 'citizen') continue
    const name = header.citizen.name || t.citizen
    void announce(
      conv,
      Math.max(seq, 1),
      tab === 'waiting' ? t.notice.fresh(name) : t.notice.message(name),
      message?.text || header.subject,
    )
  }
})

async function announce(conv: string, seq: number, heading: string, text: string): Promise<void> {
  const inView = document.visibilityState === 'visible' && document.hasFocus()
  if (!inView) await new Promise((resolve) => setTimeout(resolve, 250)) // a tab that is in view speaks first
  const key = `${SEEN}.${session.me?.id}`
  const first = await navigator.locks.request('banshi-desk-notice', () => {
    const seen = JSON.parse(localStorage.getItem(key) ?? '{}') as Record<string, number>
    if ((seen[conv] ?? 0) >= seq) return false
    const kept = Object.entries({ ...seen, [conv]: seq }).slice(-100)
    localStorage.setItem(key, JSON.stringify(Object.fromEntries(kept)))
    return true
  })
  if (first) notify({ tag: conv, title: heading, text, open: () => void router.push(`/conversations/${conv}`) })
}

let icon: HTMLImageElement | null = null

function drawIcon(count: number): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]')
  if (!link) return
  if (count === 0) {
    link.href = '/desk/icon.svg'
    return
  }
  const draw = (image: HTMLImageElement): void => {
    const canvas = document.createElement('canvas')
    canvas.width = canvas.height = 64
    const context = canvas.getContext('2d')
    if (!context) return
    context.drawImage(image, 0, 0, 64, 64)
    context.fillStyle = '#c8362f'
    context.beginPath()
    context.arc(44, 20, 20, 0, 2 * Math.PI)
    context.fill()
    context.fillStyle = '#fff'
    context.font = 'bold 26px sans-serif'
    context.textAlign = 'center'
    context.textBaseline = 'middle'
    context.fillText(count > 9 ? '9+' : String(count), 44, 21)
    link.type = 'image/png'
    link.href = canvas.toDataURL('image/png')
  }
  if (icon) return draw(icon)
  const image = new Image()
  image.onload = () => {
    icon = image
    draw(image)
  }
  image.src = '/desk/icon-192.png'
}
