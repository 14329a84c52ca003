import { ApiProblem, fileNameOf } from '@banshi/api'
import { api } from '../api'

export interface SavedRecord {
  name: string
  sha256: string
  lastSeq: number
}

/** Save the record of a consultation as a file of this computer. Rejects with `ApiProblem`. */
export async function saveTranscript(conv: string, format: 'text' | 'pdf', again = true): Promise<SavedRecord> {
  const path = '/api/consultations/{consultation_id}/transcript'
  let answer: Response
  try {
    answer = await fetch(api.url(path, { consultation_id: conv }, { format }), { credentials: 'same-origin' })
  } catch {
    throw ApiProblem.network()
  }
  if (answer.status === 401 && again && (await api.renew())) return saveTranscript(conv, format, false)
  if (!answer.ok) throw ApiProblem.of(answer.status, await answer.text(), answer.headers.get('Retry-After'))
  const ending = format === 'pdf' ? 'pdf' : 'txt'
  const name = fileNameOf(answer.headers.get('Content-Disposition'), `record-${conv}.${ending}`)
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await answer.blob())
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  return {
    name,
    sha256: answer.headers.get('Banshi-Transcript-SHA256') ?? '',
    lastSeq: Number(answer.headers.get('Banshi-Transcript-Last-Seq') ?? 0),
  }
}
