import { citizenGuide } from '@banshi/words'
import { api } from './api'
import { say } from './language'
import { toast } from './tell'

/** Where a blank form or a sample lies. */
export function guideFile(name: string): string {
  return api.url('/api/guide-files/{name}', { name })
}

/** What WeChat can open by itself; other files get their address copied, for a browser. */
const OPENED = ['pdf', 'doc', 'docx', 'xls', 'xlsx', 'ppt', 'pptx']
const PICTURES = ['png', 'jpg', 'jpeg', 'webp', 'gif']

/** Open a file in the mini-program. In the browser a plain link does it. */
export function openGuideFile(name: string): void {
  const ending = name.split('.').pop()?.toLowerCase() ?? ''
  const url = guideFile(name)
  const t = say(citizenGuide)
  if (PICTURES.includes(ending)) {
    uni.previewImage({ urls: [url] })
  } else if (OPENED.includes(ending)) {
    uni.showLoading({ title: t.opening })
    uni.downloadFile({
      url,
      success: ({ tempFilePath }) =>
        uni.openDocument({ filePath: tempFilePath, showMenu: true, fail: () => toast(t.fileFailed) }),
      fail: () => toast(t.fileFailed),
      complete: () => uni.hideLoading(),
    })
  } else {
    copy(url, t.linkCopied)
  }
}

/** Put a text where it can be pasted from, and say so. */
export function copy(text: string, told: string): void {
  uni.setClipboardData({ data: text, showToast: false, success: () => toast(told), fail: () => toast(text) })
}
