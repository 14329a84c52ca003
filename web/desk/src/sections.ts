import { ChatDotRound, Files, House } from '@element-plus/icons-vue'
import type { desk } from '@banshi/words'
import { markRaw, type Component } from 'vue'
import type { RouteRecordRaw } from 'vue-router'
import { hasRole, type Role } from './state/session'
import { unreadCount } from './state/waiting'

/** A part of the desk: an entry of the left navigation and the pages behind it. */
export interface Section {
  /** The key of its name in `desk.sections` (packages/words/src/desk.ts), and the name of its first route. */
  name: keyof (typeof desk)['zh-CN']['sections']
  /** Below /desk, with a leading slash. */
  path: string
  icon: Component
  group: 'work' | 'office'
  /** Who sees it: any of these roles; everybody when it is left out. The server decides what they may do there. */
  roles?: Role[]
  /** From small to large within its group. */
  order: number
  page: () => Promise<unknown>
  /** Further pages: paths relative to `path`, loaded lazily too. */
  more?: RouteRecordRaw[]
  /** The pages fill the window themselves: no outer padding or scrolling. */
  full?: boolean
  /** A number beside the entry, for example what is unread. */
  badge?: () => number
}

const all: Section[] = [
  { name: 'home', path: '/', icon: House, group: 'work', order: 0, page: () => import('./pages/HomePage.vue') },
  {
    name: 'conversations',
    path: '/conversations',
    icon: ChatDotRound,
    group: 'work',
    roles: ['clerk', 'lead', 'triage'],
    order: 10,
    page: () => import('./pages/conversations/ConversationsPage.vue'),
    more: [{ path: ':conv', component: () => import('./pages/conversations/ConversationsPage.vue') }],
    full: true,
    badge: () => unreadCount.value,
  },
  {
    name: 'cases',
    path: '/cases',
    icon: Files,
    group: 'work',
    roles: ['clerk', 'lead', 'triage', 'supervisor'],
    order: 20,
    page: () => import('./pages/cases/CasesPage.vue'),
    more: [{ path: ':id', component: () => import('./pages/cases/CaseRoute.vue') }],
    full: true,
  },
]

/** Every section of the desk, in order. */
export const sections: Section[] = all
  .map((section) => ({ ...section, icon: markRaw(section.icon) }))
  .sort((a, b) => a.order - b.order)

/** Whether the person at the desk sees a section. */
export function mayEnter(section: Section): boolean {
  return section.roles === undefined || hasRole(...section.roles)
}
