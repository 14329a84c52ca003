import { deskOffice } from '@banshi/words'
import { ElMessage } from 'element-plus'
import { h } from 'vue'
import { wordsOf } from '../../language'

const t = wordsOf(deskOffice)

/** Say what was done, with a way to take it back for ten seconds. */
export function tellUndo(text: string, undo: () => Promise<unknown>): void {
  let used = false
  const take = async (): Promise<void> => {
    if (used) return
    used = true
    message.close()
    try {
      await undo()
      ElMessage.success(t.undone)
    } catch (error) {
      ElMessage.error(error instanceof Error ? error.message : String(error))
    }
  }
  const message = ElMessage({
    message: h('span', [
      text,
      h('button', { class: 'undo', type: 'button', 'data-testid': 'undo', onClick: () => void take() }, t.undo),
    ]),
    type: 'success',
    duration: 10_000,
    customClass: 'banshi-undo',
  })
}
