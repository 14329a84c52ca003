import { deskChat } from '@banshi/words'
import { ElMessage } from 'element-plus'
import { onUnmounted, ref, type Ref } from 'vue'
import { api } from '../../api'
import { wordsOf } from '../../language'
import { keepPhotos, readPhotos } from '../../state/drafts'

/** A photograph that was picked and is not sent; `url` shows it here. */
export interface PickedPhoto {
  file: File
  url: string
}

export interface PickedPhotos {
  photos: Ref<PickedPhoto[]>
  /** Add what may be sent, and say of the rest why it may not. */
  add(files: Iterable<File>): void
  remove(index: number): void
  /** Take all away: they were sent. */
  clear(): void
  /** Forget what is shown, and show the photographs that are kept for this conversation, if there are any. */
  load(kept: boolean): Promise<void>
  /** What the client takes in `sendPhoto`. */
  inputs(): { data: File; name: string; mediaType: string; size: number }[]
}

/** What may be sent, as the browser names it. */
export const PHOTO_KINDS = ['image/jpeg', 'image/png', 'image/webp']
const MAX_PHOTOS = 9

const t = wordsOf(deskChat).compose
let maxBytes = 12 * 1024 * 1024

/** The photographs of a draft, kept through a reload. `changed` is called when their number changed. */
export function usePhotos(conv: () => string, changed: () => void): PickedPhotos {
  const photos = ref<PickedPhoto[]>([])

  void api
    .get('/api/client-settings')
    .then((found) => (maxBytes = found.max_photo_bytes))
    .catch(() => undefined)
  onUnmounted(drop)

  function drop(): void {
    for (const { url } of photos.value) URL.revokeObjectURL(url)
    photos.value = []
  }

  function store(): void {
    keepPhotos(
      conv(),
      photos.value.map(({ file }) => file),
    )
    changed()
  }

  return {
    photos,
    add(files) {
      for (const file of files) {
        if (!PHOTO_KINDS.includes(file.type)) ElMessage.warning(t.photoKind)
        else if (file.size > maxBytes) ElMessage.warning(t.photoSize(Math.floor(maxBytes / 1024 / 1024)))
        else if (photos.value.length >= MAX_PHOTOS) {
          ElMessage.warning(t.tooManyPhotos)
          break
        } else photos.value.push({ file, url: URL.createObjectURL(file) })
      }
      store()
    },
    remove(index) {
      const [gone] = photos.value.splice(index, 1)
      if (gone) URL.revokeObjectURL(gone.url)
      store()
    },
    clear() {
      drop()
      store()
    },
    async load(kept) {
      drop()
      if (!kept) return
      const asked = conv()
      const files = await readPhotos(asked)
      if (asked !== conv()) return
      drop()
      photos.value = files.map((file) => ({ file, url: URL.createObjectURL(file) }))
      changed()
    },
    inputs: () =>
      photos.value.map(({ file }) => ({ data: file, name: file.name, mediaType: file.type, size: file.size })),
  }
}
