import { ApiProblem, type Schemas } from '@banshi/api'
import { api } from '../../api'

/** Send a form with files, telling how far it is (0 to 1). A session that ended is renewed and the form sent again. */
export async function sendForm<T>(address: string, form: FormData, onProgress?: (part: number) => void): Promise<T> {
  try {
    return await once<T>(address, form, onProgress)
  } catch (error) {
    if (!(error instanceof ApiProblem && error.status === 401 && (await api.renew()))) throw error
    return once<T>(address, form, onProgress)
  }
}

function once<T>(address: string, form: FormData, onProgress?: (part: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', address)
    request.timeout = 300_000
    request.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total)
    request.onload = () =>
      request.status < 400
        ? resolve(JSON.parse(request.responseText) as T)
        : reject(ApiProblem.of(request.status, request.responseText))
    request.onerror = request.ontimeout = request.onabort = () => reject(ApiProblem.network())
    request.send(form)
  })
}

/** Keep a form or a sample; its name goes into the guide. */
export function uploadGuideFile(file: File, onProgress: (part: number) => void): Promise<Schemas['GuideFileView']> {
  const form = new FormData()
  form.append('file', file, file.name)
  return sendForm('/api/catalogue/guide-files', form, onProgress)
}
