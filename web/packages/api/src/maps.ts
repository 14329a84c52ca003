/** A place as messages carry it: GCJ-02 degrees. */
export interface Place {
  latitude: number
  longitude: number
  name?: string
  address?: string
}

/**
 * The address of a place on Amap, whose maps take GCJ-02. Only a link: nothing is fetched from there before a person
 * follows it. Their documented interface: https://lbs.amap.com/api/uri-api/guide/mobile-web/point
 */
export function mapAddress(place: Place): string {
  const position = `${place.longitude.toFixed(6)},${place.latitude.toFixed(6)}`
  const name = (place.name || place.address || '').slice(0, 60)
  return `https://uri.amap.com/marker?position=${position}&name=${encodeURIComponent(name)}&coordinate=gaode&callnative=0`
}

const AXIS = 6_378_245 // the ellipsoid of Krassovsky, metres
const ECCENTRICITY = 0.006693421622965943

/** What browsers give (WGS-84) as what Chinese maps want (GCJ-02); outside of China both are the same. */
export function toChinaGrid(latitude: number, longitude: number): { latitude: number; longitude: number } {
  if (longitude < 72.004 || longitude > 137.8347 || latitude < 0.8293 || latitude > 55.8271) {
    return { latitude, longitude }
  }
  const [x, y] = [longitude - 105, latitude - 35]
  const waves = (of: number): number => ((20 * Math.sin(of * Math.PI) + 40 * Math.sin((of / 3) * Math.PI)) * 2) / 3
  const ripple = ((20 * Math.sin(6 * x * Math.PI) + 20 * Math.sin(2 * x * Math.PI)) * 2) / 3
  const north =
    -100 +
    2 * x +
    3 * y +
    0.2 * y * y +
    0.1 * x * y +
    0.2 * Math.sqrt(Math.abs(x)) +
    ripple +
    waves(y) +
    ((160 * Math.sin((y / 12) * Math.PI) + 320 * Math.sin((y * Math.PI) / 30)) * 2) / 3
  const east =
    300 +
    x +
    2 * y +
    0.1 * x * x +
    0.1 * x * y +
    0.1 * Math.sqrt(Math.abs(x)) +
    ripple +
    waves(x) +
    ((150 * Math.sin((x / 12) * Math.PI) + 300 * Math.sin((x / 30) * Math.PI)) * 2) / 3
  const radians = (latitude / 180) * Math.PI
  const magic = 1 - ECCENTRICITY * Math.sin(radians) ** 2
  const metresNorth = ((AXIS * (1 - ECCENTRICITY)) / (magic * Math.sqrt(magic))) * Math.PI
  const metresEast = (AXIS / Math.sqrt(magic)) * Math.cos(radians) * Math.PI
  return {
    latitude: latitude + (north * 180) / metresNorth,
    longitude: longitude + (east * 180) / metresEast,
  }
}
