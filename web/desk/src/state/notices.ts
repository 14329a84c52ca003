import { reactive } from 'vue'
import { settings } from './settings'
import { tone } from './tone'

type Permission = NotificationPermission | 'missing'

/** Whether this browser lets us show notices outside the window. Asked for by a button, never at load. */
export const notifications = reactive({
  permission: ('Notification' in window ? Notification.permission : 'missing') as Permission,
  async ask(): Promise<void> {
    this.permission = await Notification.requestPermission()
    settings.notifications = this.permission === 'granted'
  },
})

export interface Notice {
  /** Notices of the same tag replace each other. */
  tag: string
  title: string
  text: string
  open: () => void
}

/** Tell who is not looking: a tone and a notice on the desktop, as the settings say. Silent while the desk is in view. */
export function notify(notice: Notice): void {
  if (document.visibilityState === 'visible' && document.hasFocus()) return
  if (settings.sound) tone()
  if (!settings.notifications || notifications.permission !== 'granted') return
  const shown = new Notification(notice.title, { body: notice.text, tag: notice.tag, icon: '/desk/icon-192.png' })
  shown.onclick = () => {
    window.focus()
    notice.open()
    shown.close()
  }
}
