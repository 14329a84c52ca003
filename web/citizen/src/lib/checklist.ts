import { ref } from 'vue'
import { keep, kept } from './store'

/** Materials that are ready at home, ticked by their keys; kept on this phone for each matter. */
export function useChecklist() {
  const ticked = ref<string[]>([])
  let name = ''

  return {
    ticked,
    open(matterId: string): void {
      name = `ticks.${matterId}`
      ticked.value = kept<string[]>(name) ?? []
    },
    toggle(key: string): void {
      ticked.value = ticked.value.includes(key) ? ticked.value.filter((one) => one !== key) : [...ticked.value, key]
      keep(name, ticked.value)
    },
  }
}
