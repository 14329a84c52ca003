/** What is being written in one consultation: kept while it is not sent, with what it quotes or changes. */
import type { Bubble, Content } from '@banshi/chat'
import { onUnmounted, ref, watch, type Ref } from 'vue'
import { openChat } from './chat'
import { choosePhotos, inBrowser, keepPhoto } from './outbox-storage'
import { onGivenBack, written } from './refused'
import { forget, keep, kept } from './store'
import { toast } from './tell'

const MAX_PHOTOS = 9

export interface Saying {
  text: Ref<string>
  quoted: Ref<Bubble | null>
  editing: Ref<Bubble | null>
  /** Take up what was written in the consultation that is opened. */
  restore(): void
  /** It got its id: what was kept under the one before goes along. */
  moved(from: string): void
  send(): Promise<void>
  /** Send something besides the words in the field, for example a place. */
  sendContent(content: Content): Promise<void>
  sendPhotos(from: 'camera' | 'album'): Promise<void>
  edit(bubble: Bubble): void
  stopEditing(): void
  recall(bubble: Bubble): Promise<void>
}

/** `sent` is called when something of one's own stands in the thread. */
export function useSaying(conv: Ref<string>, sent: () => void): Saying {
  const text = ref('')
  const quoted = ref<Bubble | null>(null)
  const editing = ref<Bubble | null>(null)
  let busy = false
  const key = (id = conv.value): string => written(id)

  watch(text, (value) => {
    if (!conv.value || editing.value) return
    if (value) keep(key(), value)
    else forget(key())
  })

  function restore(): void {
    text.value = kept<string>(key()) ?? ''
  }

  function stopEditing(): void {
    editing.value = null
    restore()
  }

  onUnmounted(onGivenBack((id) => id === conv.value && !editing.value && restore()))

  /** Only one at a time: who presses twice says it once. Where the client does not open, the text stays. */
  async function once(work: () => Promise<void>): Promise<void> {
    if (busy) return
    busy = true
    try {
      await work()
    } catch (error) {
      toast((error as Error).message)
    } finally {
      busy = false
    }
  }

  async function say(content: Content): Promise<void> {
    const chat = await openChat()
    const sending = chat.send(conv.value, { ...content, reply_to: quoted.value?.seq })
    sending.done.catch(() => undefined) // the bubble says it
    quoted.value = null
    sent()
  }

  return {
    text,
    quoted,
    editing,
    restore,
    moved(from) {
      forget(key(from))
      if (text.value && !editing.value) keep(key(), text.value)
    },
    send: () =>
      once(async () => {
        const [edited, value] = [editing.value, text.value]
        if (edited?.seq !== undefined) {
          const chat = await openChat()
          stopEditing()
          chat.edit(conv.value, edited.seq, value)
          return
        }
        await say({ text: value })
        text.value = ''
      }),
    sendContent: (content) => once(() => say(content)),
    async sendPhotos(from) {
      const chosen = await choosePhotos(MAX_PHOTOS, from)
      if (!chosen.length) return
      const chat = await openChat()
      const inputs = await Promise.all(
        chosen.map(async (photo) => {
          const { name, mediaType, size } = photo
          if (!inBrowser) return { ...(await keepPhoto(photo)), name }
          return { data: photo.data ?? (await (await fetch(photo.path)).blob()), name, mediaType, size }
        }),
      )
      chat.sendPhoto(conv.value, inputs).done.catch(() => undefined)
      sent()
    },
    edit(bubble) {
      editing.value = bubble
      text.value = bubble.content.text ?? ''
    },
    stopEditing,
    async recall(bubble) {
      if (bubble.seq !== undefined) (await openChat()).recall(conv.value, bubble.seq)
    },
  }
}

/** What has no bubble of its own: what is refused is told. */
export function tellRefusal(done: Promise<unknown>): void {
  done.catch((error: Error) => toast(error.message, 4000))
}
