import { reactive, watch } from 'vue'

const KEY = 'banshi.desk.settings'

interface Settings {
  sound: boolean
  notifications: boolean
}

function kept(): Partial<Settings> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>
  } catch {
    return {}
  }
}

/** What this desk remembers on this computer. */
export const settings = reactive<Settings>({ sound: true, notifications: true, ...kept() })

watch(settings, () => localStorage.setItem(KEY, JSON.stringify(settings)))

window.addEventListener('storage', (event) => {
  if (event.key === KEY) Object.assign(settings, kept())
})
