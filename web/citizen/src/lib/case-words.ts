/** A case in plain words: what comes next, by when, and what happened. Pure. */
import type { citizenCase, Like } from '@banshi/words'
import type { Schemas } from './api'
import { day } from './format'

export type Words = Like<(typeof citizenCase)['zh-CN']>
type Brief = Pick<Schemas['CaseBrief'], 'state' | 'due_at'>
type Deadline = Schemas['DeadlineView']
type Whole = Schemas['CaseView']

/** What comes next, for a list: of a case in brief nobody knows how it ended, `state_name` says that. */
export function nextOf(one: Brief & { outcome?: string | null }, t: Words): string {
  const by = one.due_at ? day(one.due_at) : ''
  switch (one.state) {
    case 'draft':
      return t.nextDraft
    case 'submitted':
    case 'resubmitted':
    case 'pre_review':
      return by ? t.nextSubmittedBy(by) : t.nextSubmitted
    case 'correction_requested':
      return by ? t.nextCorrectionBy(by) : t.nextCorrection
    case 'accepted':
      return by ? t.nextAcceptedBy(by) : t.nextAccepted
    case 'approved':
    case 'certificate_print':
    case 'delivered':
      return t.nextApproved
    case 'refused':
      return t.nextRefused
    case 'not_accepted':
      return t.nextNotAccepted
    case 'withdrawn':
      return t.nextWithdrawn
    case 'forwarded':
      return t.nextForwarded
    case 'void':
      return t.nextVoid
    case 'closed':
      return ended(one.outcome, t)
    default:
      return t.nextWorking
  }
}

function ended(outcome: string | null | undefined, t: Words): string {
  if (outcome === 'refused') return t.nextClosedRefused
  if (outcome === 'correction_expired') return t.nextExpired
  return outcome === 'approved' ? t.nextClosedApproved : ''
}

/** The date that matters now and what it is: the citizen's own while correcting, else the office's. */
export function dueOf(one: Whole): Deadline | null {
  return one.state === 'correction_requested' ? one.deadlines.correction : one.due
}

const DAY_MS = 24 * 3600 * 1000

/** How much time is left until a deadline's day, that day included. */
export function leftOf(deadline: Deadline, t: Words, now: number): string {
  const today = Math.floor((now + 8 * 3600 * 1000) / DAY_MS)
  const due = Math.floor(Date.parse(`${deadline.day}T00:00:00Z`) / DAY_MS)
  if (due === today) return t.leftToday
  return due > today ? t.leftDays(due - today) : t.overdueDays(today - due)
}

/** The name of an event in the timeline. */
export function eventName(kind: string, t: Words): string {
  const names: Record<string, string> = {
    drafted: t.eventDrafted,
    edited: t.eventEdited,
    submitted: t.eventSubmitted,
    resubmitted: t.eventResubmitted,
    withdrawn: t.eventWithdrawn,
    accepted: t.eventAccepted,
    deemed_accepted: t.eventDeemed,
    not_accepted: t.eventNotAccepted,
    correction_requested: t.eventCorrection,
    correction_expired: t.eventExpired,
    approved: t.eventApproved,
    refused: t.eventRefused,
    closed: t.eventClosed,
    deadline_approaching: t.eventSoon,
    deadline_overdue: t.eventOverdue,
  }
  return names[kind] ?? t.eventOther
}

export type Tone = 'good' | 'warn' | 'bad' | ''

/** How a state is coloured. */
export function toneOf(state: string): Tone {
  if (state === 'correction_requested' || state === 'draft') return 'warn'
  if (state === 'approved' || state === 'closed' || state === 'delivered') return 'good'
  return state === 'refused' || state === 'not_accepted' ? 'bad' : ''
}

/** Whether it is the citizen's turn. */
export function isMyTurn(state: string): boolean {
  return state === 'correction_requested' || state === 'draft'
}

const ID_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
const USCC_ALPHABET = '0123456789ABCDEFGHJKLMNPQRTUWXY'

/** Whether this can be a citizen's ID number: form, date of birth, check digit (GB 11643). The server decides. */
export function looksLikeIdNumber(text: string): boolean {
  const number = text.replace(/\s/g, '').toUpperCase()
  if (!/^[1-9]\d{16}[\dX]$/.test(number)) return false
  const born = `${number.slice(6, 10)}-${number.slice(10, 12)}-${number.slice(12, 14)}`
  const date = new Date(`${born}T00:00:00Z`)
  if (Number.isNaN(date.getTime()) || date.toISOString().slice(0, 10) !== born) return false
  const sum = ID_WEIGHTS.reduce((total, weight, index) => total + weight * Number(number[index]), 0)
  return '10X98765432'[sum % 11] === number[17]
}

/** Whether this can be a unified social credit code (GB 32100). The server decides. */
export function looksLikeUscc(text: string): boolean {
  const code = text.replace(/\s/g, '').toUpperCase()
  if (!/^[0-9A-HJ-NPQRTUWXY]{18}$/.test(code)) return false
  let sum = 0
  let weight = 1
  for (const letter of code.slice(0, 17)) {
    sum += USCC_ALPHABET.indexOf(letter) * weight
    weight = (weight * 3) % 31
  }
  return USCC_ALPHABET[(31 - (sum % 31)) % 31] === code[17]
}

/** A mainland mobile or landline number. The server decides. */
export function looksLikePhone(text: string): boolean {
  const plain = text.replace(/[\s]/g, '').replace(/^\+86/, '')
  return /^1[3-9]\d{9}$/.test(plain.replace(/-/g, '')) || /^0\d{2,3}-?\d{7,8}$/.test(plain)
}
