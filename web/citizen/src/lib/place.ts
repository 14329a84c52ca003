/** Where somebody is, or which place they mean. */
import { toChinaGrid } from '@banshi/api'

export interface FoundPlace {
  latitude: number
  longitude: number
  /** In metres; null where the platform does not tell. */
  accuracy: number | null
  name?: string
  address?: string
}

/** Why there is no place: `denied` by the person, `unavailable` here or now, or `cancelled`. */
export class NoPlace extends Error {
  constructor(readonly why: 'denied' | 'unavailable' | 'cancelled') {
    super(why)
  }
}

const WAIT_MS = 15_000

/** The browser asks the person first. What it gives is turned into the degrees of Chinese maps (GCJ-02). */
export function currentPlace(): Promise<FoundPlace> {
  return new Promise((resolve, reject) => {
    const found = typeof navigator === 'undefined' ? undefined : navigator.geolocation
    if (!found) return reject(new NoPlace('unavailable'))
    found.getCurrentPosition(
      ({ coords }) => resolve({ ...toChinaGrid(coords.latitude, coords.longitude), accuracy: coords.accuracy }),
      (error) => reject(new NoPlace(error.code === error.PERMISSION_DENIED ? 'denied' : 'unavailable')),
      { enableHighAccuracy: true, timeout: WAIT_MS, maximumAge: 60_000 },
    )
  })
}

/** WeChat's own map, on which the person picks a place: GCJ-02 already. */
export function pickPlace(): Promise<FoundPlace> {
  return new Promise((resolve, reject) => {
    uni.chooseLocation({
      success: ({ latitude, longitude, name, address }) =>
        resolve({ latitude: Number(latitude), longitude: Number(longitude), accuracy: null, name, address }),
      fail: ({ errMsg }: { errMsg?: string }) => {
        const denied = /auth|deny|denied/.test(errMsg ?? '')
        reject(new NoPlace(/cancel/.test(errMsg ?? '') ? 'cancelled' : denied ? 'denied' : 'unavailable'))
      },
    })
  })
}
