/** Photographs on their way to the server: one upload with progress, and the queue of a case's material pages. */
import { reactive } from 'vue'
import { api, ApiProblem, uuid, type Schemas } from './api'
import { dropPhoto, inBrowser, keptBytes, type KeptPhoto } from './outbox-storage'
import { forget, keep, kept } from './store'

export interface PhotoUpload {
  /** The path on the server, such as `/api/consultation-photos`. */
  path: string
  /** Of the kept photograph: a key of its bytes, or the path of a file. */
  ref: string
  /** The bytes, where the caller has them. */
  data?: Blob
  name?: string
  /** The other parts of the form; `upload_id` among them. */
  fields: Record<string, string>
  /** 0 … 1. */
  onProgress?: (fraction: number) => void
  signal?: AbortSignal
}

/** Milliseconds in which something of an upload must move, else the connection counts as cut. */
const STALLED = 30_000

/** The photograph is neither on the server nor on this phone any more. */
export function photoGone(): ApiProblem {
  return new ApiProblem({
    code: 'photo-gone',
    title: '照片已不在这台设备上',
    status: 410,
    detail: '这张照片没有传完，手机上也找不到了，请重新拍摄。',
  })
}

/**
 * Upload one photograph and give the server's answer. Rejects with `ApiProblem`; with `offline` the same upload
 * (same `upload_id`) may be made again.
 */
export async function uploadPhoto<T>(upload: PhotoUpload): Promise<T> {
  const data = upload.data ?? (inBrowser ? await keptBytes(upload.ref) : undefined)
  if (inBrowser && !data) throw photoGone()
  const once = (): Promise<T> => (data ? byBrowser<T>(upload, data) : byMiniProgram<T>(upload))
  try {
    return await once()
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.status !== 401 || !(await api.renew())) throw error
    return once()
  }
}

function read<T>(status: number, text: string): T {
  if (status < 200 || status >= 300) throw ApiProblem.of(status, text)
  try {
    return JSON.parse(text) as T
  } catch {
    throw ApiProblem.of(502, text)
  }
}

function byBrowser<T>({ path, name, fields, onProgress, signal }: PhotoUpload, data: Blob): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    let stalled = setTimeout(() => request.abort(), STALLED)
    const moved = (): void => {
      clearTimeout(stalled)
      stalled = setTimeout(() => request.abort(), STALLED)
    }
    const stop = (): void => request.abort()
    const cut = (): void => reject(ApiProblem.network())
    request.open('POST', api.url(path))
    for (const [header, value] of Object.entries(api.authorization())) request.setRequestHeader(header, value)
    request.setRequestHeader('Accept', 'application/json')
    request.upload.onprogress = (event) => {
      moved()
      if (event.lengthComputable) onProgress?.(event.loaded / event.total)
    }
    request.onload = () => {
      try {
        resolve(read<T>(request.status, request.responseText))
      } catch (error) {
        reject(error as Error)
      }
    }
    request.onerror = request.onabort = request.ontimeout = cut
    request.onloadend = () => {
      clearTimeout(stalled)
      signal?.removeEventListener('abort', stop)
    }
    if (signal?.aborted) {
      clearTimeout(stalled)
      return cut()
    }
    signal?.addEventListener('abort', stop)
    const form = new FormData()
    for (const [field, value] of Object.entries(fields)) form.append(field, value)
    form.append('file', data, name || 'photo.jpg')
    request.send(form)
  })
}

function byMiniProgram<T>({ path, ref, fields, onProgress, signal }: PhotoUpload): Promise<T> {
  return new Promise((resolve, reject) => {
    const task = uni.uploadFile({
      url: api.url(path),
      filePath: ref,
      name: 'file',
      formData: fields,
      header: { Accept: 'application/json', ...api.authorization() },
      success: (answer) => {
        try {
          resolve(read<T>(answer.statusCode, answer.data))
        } catch (error) {
          reject(error as Error)
        }
      },
      fail: (error: { errMsg?: string }) => {
        const gone = /no such file|file not exist|not found/i.test(error.errMsg ?? '')
        reject(gone ? photoGone() : ApiProblem.network())
      },
    })
    task.onProgressUpdate((event) => onProgress?.(event.progress / 100))
    signal?.addEventListener?.('abort', () => task.abort())
  })
}

/** Whether the same thing again may succeed. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof ApiProblem)) return true
  return error.offline || error.status >= 500 || error.status === 429 || error.status === 408
}

/** A page of a material on its way into its slot. */
export interface PageUpload {
  uploadId: string
  key: string
  ref: string
  name: string
  /** The page it takes the place of. */
  replaces: string | null
  /** From 0; null is the end. */
  position: number | null
  /** The server has it; what it replaces is still to be taken out. */
  placed: boolean
  state: 'waiting' | 'sending' | 'failed'
  /** 0 … 1. */
  progress: number
  /** Why it failed, in the server's words. */
  problem: string | null
}

type MaterialPage = Schemas['MaterialPageView']

/**
 * The pages of one case that are not on the server yet, sent one after the other in the order they were taken.
 *
 * Each keeps its `upload_id` until there is a definite answer, so that a cut connection makes nothing twice; the
 * list survives a reload.
 */
export class PageQueue {
  readonly state = reactive({ uploads: [] as PageUpload[], offline: false })
  private readonly storeKey: string
  private running = false
  private attempt = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  private closed = false
  private current: AbortController | undefined

  /** `placed` is called when the server has a page, with the id of the one it replaced. */
  constructor(
    private readonly caseId: string,
    private readonly placed: (page: MaterialPage, replaced: string | null) => void,
  ) {
    this.storeKey = `pages:${caseId}`
    const found = kept<PageUpload[]>(this.storeKey) ?? []
    this.state.uploads = found.map((one) => ({
      ...one,
      state: one.state === 'failed' ? 'failed' : 'waiting',
      progress: one.placed ? 1 : 0,
    }))
  }

  /** Put photographs at the end of a slot, or one in the place of a page. */
  add(key: string, photos: KeptPhoto[], replaces: { pageId: string; position: number } | null = null): void {
    for (const photo of photos) {
      this.state.uploads.push({
        uploadId: uuid(),
        key,
        ref: photo.ref,
        name: photo.name,
        replaces: replaces?.pageId ?? null,
        position: replaces?.position ?? null,
        placed: false,
        state: 'waiting',
        progress: 0,
        problem: null,
      })
    }
    this.save()
    this.resume()
  }

  /** The network or the app is back, or there is something new: go on at once. */
  resume(): void {
    clearTimeout(this.timer)
    this.attempt = 0
    void this.run()
  }

  retry(uploadId: string): void {
    const found = this.find(uploadId)
    if (!found) return
    found.state = 'waiting'
    found.problem = null
    this.save()
    this.resume()
  }

  /** Give one up. What the server has already is taken out by whoever shows the page. */
  discard(uploadId: string): void {
    const found = this.find(uploadId)
    if (!found) return
    if (found.state === 'sending') this.current?.abort()
    this.drop(found)
  }

  of(key: string): PageUpload[] {
    return this.state.uploads.filter((one) => one.key === key)
  }

  /** Stop sending; what is left goes on when the page is opened again. */
  close(): void {
    this.closed = true
    clearTimeout(this.timer)
    this.current?.abort()
  }

  private find(uploadId: string): PageUpload | undefined {
    return this.state.uploads.find((one) => one.uploadId === uploadId)
  }

  private drop(upload: PageUpload): void {
    this.state.uploads = this.state.uploads.filter((one) => one.uploadId !== upload.uploadId)
    this.save()
    void dropPhoto(upload.ref)
  }

  private save(): void {
    if (this.state.uploads.length) keep(this.storeKey, this.state.uploads)
    else forget(this.storeKey)
  }

  private async run(): Promise<void> {
    if (this.running) return
    this.running = true
    try {
      for (let next = this.next(); next && !this.closed; next = this.next()) {
        if (!(await this.send(next))) return this.later()
      }
      this.state.offline = false
    } finally {
      this.running = false
    }
  }

  private next(): PageUpload | undefined {
    return this.state.uploads.find((one) => one.state === 'waiting')
  }

  /** False when there is no use in going on now. */
  private async send(upload: PageUpload): Promise<boolean> {
    upload.state = 'sending'
    this.current = new AbortController()
    try {
      if (!upload.placed) {
        const fields: Record<string, string> = { upload_id: upload.uploadId }
        if (upload.position !== null) fields.position = String(upload.position)
        const page = await uploadPhoto<MaterialPage>({
          path: `/api/cases/${this.caseId}/materials/${encodeURIComponent(upload.key)}/pages`,
          ref: upload.ref,
          name: upload.name,
          fields,
          onProgress: (fraction) => {
            upload.progress = fraction
          },
          signal: this.current.signal,
        })
        upload.placed = true
        upload.progress = 1
        this.save()
        this.placed(page, upload.replaces)
      }
      if (upload.replaces) {
        const path = { case_id: this.caseId, key: upload.key, page_id: upload.replaces }
        await api.delete('/api/cases/{case_id}/materials/{key}/pages/{page_id}', { path }).catch((error: unknown) => {
          // taken out on another phone meanwhile, or before a lost answer
          if (!(error instanceof ApiProblem && error.status === 404)) throw error
        })
      }
      this.attempt = 0
      this.state.offline = false
      this.drop(upload)
      return true
    } catch (error) {
      if (!this.find(upload.uploadId)) return true // given up meanwhile
      if (isTransient(error)) {
        upload.state = 'waiting'
        upload.progress = upload.placed ? 1 : 0
        this.state.offline = true
        this.save()
        return false
      }
      upload.state = 'failed'
      upload.problem = (error as ApiProblem).message
      this.save()
      return true
    }
  }

  private later(): void {
    if (this.closed) return
    this.attempt += 1
    const pause = Math.min(30_000, 1000 * 2 ** (this.attempt - 1)) * (0.5 + Math.random() / 2)
    this.timer = setTimeout(() => void this.run(), pause)
  }
}

/** Whether pages of a case are still on this phone alone. */
export function pagesWaiting(caseId: string): number {
  return (kept<PageUpload[]>(`pages:${caseId}`) ?? []).length
}
