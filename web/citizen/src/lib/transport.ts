import type { Transport, WireResponse } from '@banshi/api'

const TIMEOUT_MS = 20_000

/** Carries a request by the framework's own means, in browsers and in the mini-program alike. */
export const uniTransport: Transport = ({ method, url, headers, body, signal }) =>
  new Promise<WireResponse>((resolve, reject) => {
    if (signal?.aborted) {
      reject(new Error('aborted'))
      return
    }
    const task = uni.request({
      url,
      // PATCH is known to both platforms, only not to the types.
      method: method as 'GET',
      header: headers,
      data: body,
      timeout: TIMEOUT_MS,
      dataType: 'text',
      responseType: 'text',
      success: ({ statusCode, header, data }) => {
        const got = lowered(header as Record<string, unknown>)
        resolve({
          status: statusCode,
          header: (name) => got[name.toLowerCase()] ?? null,
          text: typeof data === 'string' ? data : JSON.stringify(data),
        })
      },
      fail: (problem) => reject(new Error(problem.errMsg)),
    }) as UniApp.RequestTask | undefined
    signal?.addEventListener('abort', () => task?.abort())
  })

function lowered(headers: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]))
}
