import { common } from '@banshi/words'
import { say } from './language'

/** A short word about what was done. */
export function toast(title: string, duration = 2500): void {
  uni.showToast({ title, icon: 'none', duration })
}

/** Ask before what cannot be undone. */
export function confirm(title: string, content: string, confirmText: string): Promise<boolean> {
  return new Promise((resolve) => {
    uni.showModal({
      title,
      content,
      // WeChat shows four characters at most.
      confirmText: confirmText.length > 4 ? say(common).ok : confirmText,
      cancelText: say(common).cancel,
      success: ({ confirm: yes }) => resolve(yes),
      fail: () => resolve(false),
    })
  })
}
