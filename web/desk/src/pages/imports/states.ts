import type { Schemas } from '@banshi/api'

export type CatalogueImport = Schemas['CatalogueImportView']

/** States in which a worker is wanted or at work: worth asking again. */
export const MOVING: readonly string[] = ['queued', 'checking', 'accepted', 'applying']

export const KINDS: Record<string, 'success' | 'warning' | 'info' | 'danger' | 'primary'> = {
  queued: 'info',
  checking: 'primary',
  checked: 'warning',
  accepted: 'primary',
  applying: 'primary',
  applied: 'success',
  failed: 'danger',
  cancelled: 'info',
}

export function sizeText(bytes: number): string {
  return bytes < 1024 * 1024 ? `${Math.max(1, Math.round(bytes / 1024))} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`
}
