import type { Role } from '../../state/session'

/** What an account may be, from everyday work to administration. */
export const STAFF_ROLES: readonly Role[] = ['clerk', 'lead', 'triage', 'hall', 'supervisor', 'editor', 'admin']
