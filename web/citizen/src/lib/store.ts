/** What is kept on this phone: small JSON values, by name. A full or closed store loses the value, nothing else. */

export const PREFIX = 'banshi.'

/** False when it is not kept: the phone's store is full, or closed to us (private window). */
export function keep(name: string, value: unknown): boolean {
  try {
    uni.setStorageSync(PREFIX + name, JSON.stringify(value))
    return true
  } catch {
    return false
  }
}

export function kept<T>(name: string): T | null {
  try {
    const text: unknown = uni.getStorageSync(PREFIX + name)
    return typeof text === 'string' && text !== '' ? (JSON.parse(text) as T) : null
  } catch {
    return null
  }
}

export function forget(name: string): void {
  try {
    uni.removeStorageSync(PREFIX + name)
  } catch {
    // as above
  }
}

/** All that is kept, of us and of others, by whole keys. */
export function keptKeys(): string[] {
  try {
    return uni.getStorageInfoSync().keys
  } catch {
    return []
  }
}

/** Forget by the whole key. */
export function removeKey(key: string): void {
  try {
    uni.removeStorageSync(key)
  } catch {
    // as above
  }
}

/** Call `changed` when another tab of this browser changed the value. */
export function onOtherTab(name: string, changed: () => void): void {
  // #ifdef H5
  window.addEventListener('storage', (event) => {
    if (event.key === null || event.key === PREFIX + name) changed()
  })
  // #endif
  void [name, changed]
}
