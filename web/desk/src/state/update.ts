import { registerSW } from 'virtual:pwa-register'
import { ref } from 'vue'

/** A newer desk has been fetched and waits. It is not taken before the clerk says so: nobody is interrupted. */
export const updateReady = ref(false)

const HOURLY = 3_600_000

const update = registerSW({
  immediate: true,
  onNeedRefresh: () => (updateReady.value = true),
  onRegisteredSW: (_address, registration) => {
    // a desk stays open all day: ask now and then whether there is a newer one
    if (registration) setInterval(() => navigator.onLine && void registration.update().catch(() => undefined), HOURLY)
  },
})

/** Load the newer desk. Drafts and what is on its way are kept. */
export function takeUpdate(): void {
  void update(true)
}
