/**
 * What the phone keeps until the server has it: small things as text, photographs as bytes.
 *
 * In a browser the bytes lie in IndexedDB, so that a reload does not lose a photograph that was on its way; in the
 * mini-program the picture is saved as a file and its path is the reference.
 */
import { uuid } from '@banshi/api'
import { common } from '@banshi/words'
import { say } from './language'
import { toast } from './tell'

/** A photograph on this phone. `ref` survives a reload: a key of `photoBytes`, or the path of a saved file. */
export interface KeptPhoto {
  ref: string
  name: string
  /** In bytes; 0 where the platform does not tell. */
  size: number
  mediaType: string
}

/** A photograph as it was chosen; `data` are its bytes where the platform gives them. */
export interface ChosenPhoto {
  path: string
  data?: Blob
  name: string
  size: number
  mediaType: string
}

const DATABASE = 'banshi-photos'
const STORE = 'photos'
let opened: Promise<IDBDatabase> | undefined

function database(): Promise<IDBDatabase> {
  opened ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('indexedDB'))
  }).catch((error: unknown) => {
    opened = undefined
    throw error
  })
  return opened
}

async function within<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const found = await database()
  return new Promise<T>((resolve, reject) => {
    const transaction = found.transaction(STORE, mode)
    const request = work(transaction.objectStore(STORE))
    transaction.oncomplete = () => resolve(request.result)
    transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('indexedDB'))
  })
}

/** Bytes of photographs by reference (a `BlobStore` of the chat client). */
export const photoBytes = {
  put: async (ref: string, data: unknown): Promise<void> => {
    await within('readwrite', (store) => store.put(data, ref))
  },
  get: async (ref: string): Promise<unknown> => within<unknown>('readonly', (store) => store.get(ref)),
  remove: async (ref: string): Promise<void> => {
    await within('readwrite', (store) => store.delete(ref))
  },
}

/** Whether this is a browser, where bytes are kept in IndexedDB. */
export const inBrowser = typeof indexedDB !== 'undefined'

// what IndexedDB refuses (private windows of some browsers) lives as long as the page
const unkept = new Map<string, Blob>()

/** Keep a chosen photograph until it is uploaded. */
export async function keepPhoto(photo: ChosenPhoto): Promise<KeptPhoto> {
  const { name, size, mediaType } = photo
  if (!inBrowser) return { ref: await savedFile(photo.path), name, size, mediaType }
  const ref = uuid()
  const data = photo.data ?? (await (await fetch(photo.path)).blob())
  try {
    await photoBytes.put(ref, data)
  } catch {
    unkept.set(ref, data)
  }
  return { ref, name, size: size || data.size, mediaType: mediaType || data.type }
}

/** The bytes of a kept photograph in a browser; undefined when they are gone. */
export async function keptBytes(ref: string): Promise<Blob | undefined> {
  const found = unkept.get(ref) ?? (await photoBytes.get(ref).catch(() => undefined))
  return found instanceof Blob ? found : undefined
}

/** A kept photograph as an address that an image can show; undefined when it is gone. */
export async function keptPicture(ref: string): Promise<string | undefined> {
  if (!inBrowser) return ref
  const data = await keptBytes(ref)
  return data && URL.createObjectURL(data)
}

/** The photograph is uploaded or given up: its place is free again. */
export async function dropPhoto(ref: string): Promise<void> {
  if (inBrowser) {
    unkept.delete(ref)
    await photoBytes.remove(ref).catch(() => undefined)
    return
  }
  await new Promise<void>((resolve) => {
    uni.removeSavedFile({ filePath: ref, complete: () => resolve() })
  })
}

/** None of the kept photographs is wanted any more. */
export async function dropAllPhotos(): Promise<void> {
  if (inBrowser) {
    unkept.clear()
    await within('readwrite', (store) => store.clear()).catch(() => undefined)
    return
  }
  const { fileList } = await new Promise<{ fileList: { filePath: string }[] }>((resolve) => {
    uni.getSavedFileList({ success: resolve, fail: () => resolve({ fileList: [] }) })
  })
  await Promise.all(fileList.map((one) => dropPhoto(one.filePath)))
}

function savedFile(path: string): Promise<string> {
  return new Promise((resolve) => {
    uni.saveFile({
      tempFilePath: path,
      success: (saved) => resolve(saved.savedFilePath),
      // no room: the temporary file lives as long as the app does
      fail: () => resolve(path),
    })
  })
}

/**
 * Let the person take or choose up to `count` photographs. Empty when they changed their mind (some browsers never
 * say so: do not show a busy state while this is pending).
 */
export function choosePhotos(count: number, from?: 'camera' | 'album'): Promise<ChosenPhoto[]> {
  return new Promise((resolve) => {
    uni.chooseImage({
      count,
      sizeType: ['compressed'],
      sourceType: from ? [from] : ['camera', 'album'],
      success: (found) => {
        const paths = typeof found.tempFilePaths === 'string' ? [found.tempFilePaths] : found.tempFilePaths
        const files = (Array.isArray(found.tempFiles) ? found.tempFiles : [found.tempFiles]) as (File & {
          path?: string
        })[]
        if (paths.length > count) toast(say(common).tooManyPhotos(paths.length, count), 5000)
        resolve(
          paths.slice(0, count).map((path, index) => {
            const file = files[index]
            const data = typeof Blob !== 'undefined' && file instanceof Blob ? file : undefined
            const name = file?.name || path.split('/').pop() || 'photo.jpg'
            return { path, data, name, size: file?.size ?? 0, mediaType: file?.type || '' }
          }),
        )
      },
      fail: () => resolve([]),
    })
  })
}
