import {
  Calendar,
  ChatDotRound,
  Document,
  Files,
  House,
  Memo,
  OfficeBuilding,
  Postcard,
  Upload,
  User,
} from '@element-plus/icons-vue'
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
  {
    name: 'matters',
    path: '/matters',
    icon: Document,
    group: 'office',
    roles: ['editor', 'admin'],
    order: 10,
    page: () => import('./pages/catalogue/MattersPage.vue'),
    more: [{ path: ':matter', component: () => import('./pages/catalogue/MatterPage.vue') }],
  },
  {
    name: 'imports',
    path: '/imports',
    icon: Upload,
    group: 'office',
    roles: ['editor', 'admin'],
    order: 20,
    page: () => import('./pages/imports/ImportsPage.vue'),
    more: [{ path: ':import', component: () => import('./pages/imports/ImportPage.vue') }],
  },
  {
    name: 'announcements',
    path: '/announcements',
    icon: Memo,
    group: 'office',
    roles: ['editor', 'admin'],
    order: 30,
    page: () => import('./pages/announcements/AnnouncementsPage.vue'),
    more: [{ path: ':announcement', component: () => import('./pages/announcements/AnnouncementPage.vue') }],
  },
  {
    name: 'organisation',
    path: '/organisation',
    icon: OfficeBuilding,
    group: 'office',
    roles: ['admin'],
    order: 40,
    page: () => import('./pages/organisation/DepartmentsPage.vue'),
    more: [
      { path: 'new', component: () => import('./pages/organisation/DepartmentNewPage.vue') },
      { path: ':id', component: () => import('./pages/organisation/DepartmentPage.vue') },
    ],
  },
  {
    name: 'posts',
    path: '/posts',
    icon: Postcard,
    group: 'office',
    roles: ['admin'],
    order: 50,
    page: () => import('./pages/organisation/PostsPage.vue'),
    more: [
      { path: 'new', component: () => import('./pages/organisation/PostNewPage.vue') },
      { path: ':id', component: () => import('./pages/organisation/PostPage.vue') },
    ],
  },
  {
    name: 'staff',
    path: '/staff',
    icon: User,
    group: 'office',
    roles: ['admin'],
    order: 60,
    page: () => import('./pages/staff/StaffPage.vue'),
    more: [
      { path: 'new', component: () => import('./pages/staff/StaffNewPage.vue') },
      { path: ':id', component: () => import('./pages/staff/StaffOnePage.vue') },
    ],
  },
  {
    name: 'calendar',
    path: '/calendar',
    icon: Calendar,
    group: 'office',
    roles: ['admin'],
    order: 70,
    page: () => import('./pages/calendar/CalendarPage.vue'),
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
