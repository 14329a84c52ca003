/** The pages that are tabs. */
export const TABS = {
  home: '/pages/home/home',
  consultations: '/pages/consultations/consultations',
  cases: '/pages/cases/cases',
  me: '/pages/me/me',
} as const

export type Tab = keyof typeof TABS

type Query = Record<string, string | number | null | undefined>

const DEEPEST = 10

/** `/pages/guide/guide?id=…`; values that are empty are left out. */
export function address(path: string, query: Query = {}): string {
  const parts = Object.entries(query)
    .filter(([, value]) => value !== undefined && value !== null && value !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
  return parts.length > 0 ? `${path}?${parts.join('&')}` : path
}

/** Open a page. Tabs are switched to; beyond the depth that WeChat allows the page takes the place of this one. */
export function go(path: string, query: Query = {}): void {
  const url = address(path, query)
  if (Object.values(TABS).some((tab) => tab === path)) {
    uni.switchTab({ url: path })
  } else if (getCurrentPages().length >= DEEPEST) {
    uni.redirectTo({ url })
  } else {
    uni.navigateTo({ url })
  }
}

/** Back to where one came from, or home when the page was opened by itself. */
export function back(): void {
  if (getCurrentPages().length > 1) uni.navigateBack()
  else uni.switchTab({ url: TABS.home })
}

/** A value of a page's address. The mini-program hands it over as written, the browser already decoded. */
export function param(options: Record<string, unknown> | undefined, name: string): string {
  const value = String(options?.[name] ?? '')
  // #ifndef H5
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
  // #endif
  return value
}

/** The link of a page in a browser: `#/pages/…`. */
export function hashLink(path: string, query: Query = {}): string {
  return `#${address(path, query)}`
}
