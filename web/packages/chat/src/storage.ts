/** Where texts are kept through a reload. Every method may fail; what is cached only is then not kept. */
export interface ChatStorage {
  get(key: string): Promise<string | null | undefined>
  set(key: string, value: string): Promise<void>
  remove(key: string): Promise<void>
  /** All keys that begin so. */
  keys(prefix: string): Promise<string[]>
}

/** Where the bytes of photographs are kept until they are uploaded, by reference. */
export interface BlobStore {
  put(ref: string, data: unknown): Promise<void>
  /** Undefined when the bytes are gone. */
  get(ref: string): Promise<unknown>
  remove(ref: string): Promise<void>
}

/** `localStorage` or `sessionStorage`. */
export function webStorage(area: Storage): ChatStorage {
  return {
    get: async (key) => area.getItem(key),
    set: async (key, value) => area.setItem(key, value),
    remove: async (key) => area.removeItem(key),
    keys: async (prefix) => {
      const found: string[] = []
      for (let i = 0; i < area.length; i++) {
        const key = area.key(i)
        if (key?.startsWith(prefix)) found.push(key)
      }
      return found
    },
  }
}

/** The part of `uni` and `wx` that keeps texts. */
export interface MiniProgramStorage {
  getStorageSync(key: string): unknown
  setStorageSync(key: string, value: string): void
  removeStorageSync(key: string): void
  getStorageInfoSync(): { keys: string[] }
}

/** Storage of `uni` (all ends) or `wx`. */
export function uniStorage(uni: MiniProgramStorage): ChatStorage {
  return {
    get: async (key) => {
      const found = uni.getStorageSync(key)
      return typeof found === 'string' && found !== '' ? found : null
    },
    set: async (key, value) => uni.setStorageSync(key, value),
    remove: async (key) => uni.removeStorageSync(key),
    keys: async (prefix) => uni.getStorageInfoSync().keys.filter((key) => key.startsWith(prefix)),
  }
}

/** Keeps nothing beyond the life of the page, or of the map that is given. */
export function memoryStorage(area: Map<string, string> = new Map()): ChatStorage {
  return {
    get: async (key) => area.get(key),
    set: async (key, value) => void area.set(key, value),
    remove: async (key) => void area.delete(key),
    keys: async (prefix) => [...area.keys()].filter((key) => key.startsWith(prefix)),
  }
}
