import { computed, ref } from 'vue'
import { keep, kept } from './store'

export type TextSize = 'normal' | 'large'

/** WeChat's own size from which on we begin with large text: the middle of its scale, 17 being the standard. */
const LARGE_FROM_PX = 20

export const textSize = ref<TextSize>(kept<TextSize>('text-size') ?? phonesOwn())
export const large = computed(() => textSize.value === 'large')

/** What the phone's owner has set in WeChat, where nothing is set here. */
function phonesOwn(): TextSize {
  // #ifdef MP-WEIXIN
  const size = Number((uni.getSystemInfoSync() as { fontSizeSetting?: number }).fontSizeSetting ?? 0)
  if (size >= LARGE_FROM_PX) return 'large'
  // #endif
  void LARGE_FROM_PX
  return 'normal'
}

export function setTextSize(next: TextSize): void {
  textSize.value = next
  keep('text-size', next)
  applyTextSize()
}

/** Dialogs and toasts of the framework lie outside of our pages: they follow the document. */
export function applyTextSize(): void {
  // #ifdef H5
  document.documentElement.classList.toggle('large-text', large.value)
  // #endif
}
