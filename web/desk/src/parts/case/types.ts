import type { Schemas } from '@banshi/api'
import type { Guide } from '../../state/guides'

export type DeskCase = Schemas['DeskCaseView']
export type WorkItem = Schemas['WorkItem']
export type Counts = Schemas['DeskCountsView']
export type TimelineItem = Schemas['DeskTimelineItem']
export type CaseState = Schemas['CaseState']
export type Requirement = Guide['guide']['materials'][number]

/** What the staff can do to a case. */
export const ACTIONS = ['accept', 'approve', 'close', 'request_correction', 'not_accept', 'refuse'] as const
export type Action = (typeof ACTIONS)[number]

/** One thing that is looked at: a material of the guide, or what was filled in. */
export interface Item {
  key: string
  name: string
  pages: readonly string[]
  requirement?: Requirement
  necessity?: string
  asked: boolean
  /** The applicant's data and the form have no photographs. */
  part: boolean
}
