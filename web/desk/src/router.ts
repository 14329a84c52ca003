import { createRouter, createWebHistory, type RouteRecordRaw } from 'vue-router'
import { sections, type Section } from './sections'
import { known, session } from './state/session'

declare module 'vue-router' {
  interface RouteMeta {
    /** Shown without the frame, and without being logged in. */
    open?: boolean
    section?: Section
  }
}

const routes: RouteRecordRaw[] = [
  { path: '/login', name: 'login', component: () => import('./pages/LoginPage.vue'), meta: { open: true } },
  ...sections.flatMap((section): RouteRecordRaw[] => [
    { path: section.path, name: section.name, component: section.page as never, meta: { section } },
    ...(section.more ?? []).map((route) => ({
      ...route,
      path: `${section.path}/${route.path}`,
      meta: { ...route.meta, section },
    })),
  ]),
  { path: '/:rest(.*)*', name: 'not-found', component: () => import('./pages/NotFoundPage.vue') },
]

export const router = createRouter({ history: createWebHistory('/desk/'), routes })

router.beforeEach(async (to) => {
  await known()
  if (to.meta.open) return session.me ? { path: inside(to.query.next) } : true
  if (!session.me) return { name: 'login', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
  return true
})

/** Where to go after logging in: a path of this desk, never somebody else's address. */
export function inside(next: unknown): string {
  return typeof next === 'string' && /^\/(?!\/)/.test(next) && !next.startsWith('/login') ? next : '/'
}
