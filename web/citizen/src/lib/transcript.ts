/** The record of a consultation as a file of this phone. */
import { ApiProblem, fileNameOf } from '@banshi/api'
import { api } from './api'

export interface SavedRecord {
  name: string
  /** The check code; empty where the platform does not tell it. It stands at the end of the file, too. */
  sha256: string
}

export type RecordFormat = 'pdf' | 'text'

const PATH = '/api/consultations/{consultation_id}/transcript'

/** Download it; in the mini-program it opens, and can be kept and passed on from there. Rejects with `ApiProblem`. */
export async function saveTranscript(conv: string, format: RecordFormat, again = true): Promise<SavedRecord> {
  const url = api.url(PATH, { consultation_id: conv }, { format })
  const otherwise = `record-${conv}.${format === 'pdf' ? 'pdf' : 'txt'}`
  // #ifdef H5
  return inBrowser(url, conv, format, otherwise, again)
  // #endif
  // #ifndef H5
  return inMiniProgram(url, conv, format, otherwise, again)
  // #endif
}

async function inBrowser(
  url: string,
  conv: string,
  format: RecordFormat,
  otherwise: string,
  again: boolean,
): Promise<SavedRecord> {
  let answer: Response
  try {
    answer = await fetch(url, { headers: api.authorization() })
  } catch {
    throw ApiProblem.network()
  }
  if (answer.status === 401 && again && (await api.renew())) return saveTranscript(conv, format, false)
  if (!answer.ok) throw ApiProblem.of(answer.status, await answer.text(), answer.headers.get('Retry-After'))
  const name = fileNameOf(answer.headers.get('Content-Disposition'), otherwise)
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await answer.blob())
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  return { name, sha256: answer.headers.get('Banshi-Transcript-SHA256') ?? '' }
}

interface Downloaded {
  statusCode: number
  filePath?: string
  tempFilePath?: string
  header?: Record<string, string>
}

async function inMiniProgram(
  url: string,
  conv: string,
  format: RecordFormat,
  otherwise: string,
  again: boolean,
): Promise<SavedRecord> {
  // under a name of ours, else the document opens with a random one
  const folder = (globalThis as { wx?: { env?: { USER_DATA_PATH?: string } } }).wx?.env?.USER_DATA_PATH
  const file = await new Promise<Downloaded>((resolve, reject) => {
    uni.downloadFile({
      url,
      header: api.authorization(),
      ...(folder ? { filePath: `${folder}/${otherwise}` } : {}),
      success: (answer) => resolve(answer as Downloaded),
      fail: () => reject(ApiProblem.network()),
    })
  })
  if (file.statusCode === 401 && again && (await api.renew())) return saveTranscript(conv, format, false)
  if (file.statusCode !== 200) throw ApiProblem.of(file.statusCode, '')
  const headers = Object.fromEntries(
    Object.entries(file.header ?? {}).map(([key, value]) => [key.toLowerCase(), value]),
  )
  await new Promise<void>((resolve, reject) => {
    uni.openDocument({
      filePath: file.filePath ?? file.tempFilePath ?? '',
      fileType: 'pdf',
      showMenu: true,
      success: () => resolve(),
      fail: ({ errMsg }: { errMsg?: string }) => reject(new Error(errMsg)),
    })
  })
  return {
    name: fileNameOf(headers['content-disposition'], otherwise),
    sha256: headers['banshi-transcript-sha256'] ?? '',
  }
}
