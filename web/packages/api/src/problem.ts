/** A refusal as the server words it (problem+json, the same object as in socket acknowledgements). */
export interface Problem {
  code: string
  title: string
  status: number
  detail: string
  field?: string | null
  errors?: { field: string; detail: string }[]
  retry_after?: number
  [extra: string]: unknown
}

/** Why a call did not succeed. `status` 0: no answer came (no network, timeout, cut off). */
export class ApiProblem extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail)
    this.name = 'ApiProblem'
    this.problem = problem
  }

  get code(): string {
    return this.problem.code
  }

  get status(): number {
    return this.problem.status
  }

  /** The first field the refusal names, as a dotted path. */
  get field(): string | undefined {
    return this.problem.field ?? this.problem.errors?.[0]?.field ?? undefined
  }

  /** No answer came: the same call may be made again, writes with their Idempotency-Key. */
  get offline(): boolean {
    return this.problem.status === 0
  }

  static network(detail = '网络不通，请检查网络后再试。'): ApiProblem {
    return new ApiProblem({ code: 'network-error', title: '网络不通', status: 0, detail })
  }

  /** The problem an answer carries; a plain one where a proxy between answered something else. */
  static of(status: number, text: string, retryAfter?: string | null): ApiProblem {
    const seconds = Number(retryAfter || NaN) // a date, which HTTP allows too, nobody sends us
    const wait = seconds >= 0 ? { retry_after: seconds } : undefined
    try {
      const body = JSON.parse(text) as Partial<Problem>
      if (typeof body.code === 'string' && typeof body.detail === 'string') {
        return new ApiProblem({ ...wait, ...body, status } as Problem)
      }
    } catch {
      // not JSON: somebody between us and the server spoke
    }
    const detail = status >= 500 ? '系统暂时繁忙，请稍后再试。' : '这个请求没有成功，请稍后再试。'
    return new ApiProblem({ code: `http-${status}`, title: '请求未成功', status, detail, ...wait })
  }
}
