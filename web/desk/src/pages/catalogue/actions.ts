import { common, deskCatalogue } from '@banshi/words'
import { ElMessage } from 'element-plus'
import { h } from 'vue'
import { wordsOf } from '../../language'

const t = wordsOf(deskCatalogue)
const c = wordsOf(common)

/** Say what was done, with a way to undo it for ten seconds. */
export function offerUndo(text: string, undo: () => Promise<void>): void {
  let used = false
  const message = ElMessage({
    message: h('span', [
      text,
      h(
        'button',
        {
          class: 'undo',
          type: 'button',
          onClick: () => {
            if (used) return
            used = true
            message.close()
            undo().catch((error: unknown) => ElMessage.error((error as Error).message))
          },
        },
        c.undo,
      ),
    ]),
    duration: 10_000,
    customClass: 'banshi-undo',
  })
}

/** The colours of a matter's state. */
export const STATE_KINDS: Record<string, 'success' | 'warning' | 'info' | 'danger'> = {
  active: 'success',
  suspended: 'warning',
  cancelled: 'danger',
  draft: 'info',
}

export const stateName = (state: string): string => t.states[state] ?? state
