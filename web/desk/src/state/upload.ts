import { ApiProblem } from '@banshi/api'
import type { ChatOptions } from '@banshi/chat'
import { api } from '../api'

/** Uploads one photograph of a consultation, telling how far it is; fetch cannot tell that. */
export const upload: NonNullable<ChatOptions['upload']> = (photo, uploadId, onProgress, signal) =>
  new Promise((resolve, reject) => {
    const form = new FormData()
    form.append('upload_id', uploadId)
    form.append('file', photo.data as Blob, photo.name ?? 'photo.jpg')
    const request = new XMLHttpRequest()
    request.open('POST', '/api/consultation-photos')
    request.timeout = 120_000
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total)
    request.onload = () => {
      if (request.status < 400) return resolve()
      if (request.status === 401) void api.renew() // tried again by itself once we are logged in
      reject(ApiProblem.of(request.status, request.responseText))
    }
    request.onerror = request.ontimeout = request.onabort = () => reject(ApiProblem.network())
    signal?.addEventListener('abort', () => request.abort())
    request.send(form)
  })
