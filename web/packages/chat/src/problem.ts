/** A refusal as the server words it: the same object in acknowledgements and in problem+json. */
export interface Problem {
  code: string
  title: string
  status: number
  detail: string
  field?: string | null
  /** Seconds, fractions too, after which to come again. */
  retry_after?: number | null
  [extra: string]: unknown
}

/** Why something was not done, for good. `problem.detail` may be shown to people. */
export class ChatProblem extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail || problem.title || problem.code)
    this.name = 'ChatProblem'
    this.problem = problem
  }

  get code(): string {
    return this.problem.code
  }
}

/** Problems that arise on the device itself; their codes are not the server's. */
export const LOCAL_PROBLEMS = {
  photoGone: {
    code: 'photo-gone',
    title: '照片已不在这台设备上',
    status: 0,
    detail: '这张照片没有传完，本机上也找不到了，请重新选择后发送。',
  },
  stopped: { code: 'client-stopped', title: '已退出', status: 0, detail: '已退出，操作没有完成。' },
  tooOld: { code: 'unsupported-version', title: '版本过旧', status: 0, detail: '请更新小程序或刷新页面。' },
  notFound: { code: 'not-found', title: '没有找到', status: 404, detail: '没有找到这次咨询。' },
  discarded: { code: 'discarded', title: '已放弃', status: 0, detail: '这条内容已放弃发送。' },
} as const satisfies Record<string, Problem>

/** The problem an error carries (ours or that of an HTTP client); undefined for any other error. */
export function problemOf(error: unknown): Problem | undefined {
  if (typeof error !== 'object' || error === null || !('problem' in error)) return undefined
  const found = error.problem
  if (typeof found !== 'object' || found === null || !('code' in found)) return undefined
  return found as Problem
}

/** After how many seconds an error says to come again: its problem, or `retryAfter` (HTTP's `Retry-After`) beside it. */
export function retryAfter(error: unknown): number | undefined {
  const found = problemOf(error)?.retry_after
  if (typeof found === 'number') return found
  const beside = typeof error === 'object' && error !== null && 'retryAfter' in error ? error.retryAfter : undefined
  return typeof beside === 'number' ? beside : undefined
}

/** Whether the same thing again may succeed: no network, a busy server, a limit, a session to be renewed. */
export function isTransient(error: unknown): boolean {
  const problem = problemOf(error)
  if (problem === undefined) return true
  if (problem.code === LOCAL_PROBLEMS.photoGone.code) return false
  return problem.status === 0 || problem.status >= 500 || [401, 408, 429].includes(problem.status)
}
