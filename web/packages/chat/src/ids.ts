/** Client ids: UUIDs as the protocol wants them, also where the platform has no `crypto`. */

/** A random number in [0, 1). */
export type Random = () => number

function hex(bytes: ArrayLike<number>): string {
  let text = ''
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) text += '-'
    text += (bytes[i] ?? 0).toString(16).padStart(2, '0')
  }
  return text
}

/** A new UUIDv4, lower case. */
export function newCid(random?: Random): string {
  const bytes = new Uint8Array(16)
  const source = typeof crypto === 'undefined' ? undefined : crypto
  if (random === undefined && source?.getRandomValues !== undefined) source.getRandomValues(bytes)
  else for (let i = 0; i < 16; i++) bytes[i] = Math.floor((random ?? Math.random)() * 256)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return hex(bytes)
}

/** UUIDv5 of the URL namespace and "banshi:first-message". */
const FIRST_MESSAGE = uuid5('6ba7b811-9dad-11d1-80b4-00c04fd430c8', 'banshi:first-message')

/** The client id of the message that came with `conv:open` (see `backend/domain/ids.py`). */
export function firstMessageCid(cid: string): string {
  return uuid5(FIRST_MESSAGE, cid)
}

/** The UUIDv5 of an ASCII name in a namespace (RFC 9562). */
export function uuid5(namespace: string, name: string): string {
  const bytes: number[] = []
  for (const pair of namespace.replace(/-/g, '').match(/../g) ?? []) bytes.push(parseInt(pair, 16))
  for (let i = 0; i < name.length; i++) bytes.push(name.charCodeAt(i))
  const digest = sha1(bytes)
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x50
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80
  return hex(digest)
}

/** SHA-1 (RFC 3174) of a few bytes: names, not secrets; mini-programs have no `crypto.subtle`. */
function sha1(message: readonly number[]): number[] {
  const padded = [...message, 0x80]
  while (padded.length % 64 !== 56) padded.push(0)
  const bits = message.length * 8
  for (let shift = 56; shift >= 0; shift -= 8) padded.push(shift >= 32 ? 0 : (bits >>> shift) & 0xff)
  const h = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]
  const w = new Int32Array(80)
  const at = (i: number): number => w[i] ?? 0
  for (let start = 0; start < padded.length; start += 64) {
    for (let i = 0; i < 16; i++) {
      const p = start + i * 4
      w[i] =
        ((padded[p] ?? 0) << 24) | ((padded[p + 1] ?? 0) << 16) | ((padded[p + 2] ?? 0) << 8) | (padded[p + 3] ?? 0)
    }
    for (let i = 16; i < 80; i++) w[i] = left(at(i - 3) ^ at(i - 8) ^ at(i - 14) ^ at(i - 16), 1)
    let [a, b, c, d, e] = h as [number, number, number, number, number]
    for (let i = 0; i < 80; i++) {
      const [f, k] =
        i < 20
          ? [(b & c) | (~b & d), 0x5a827999]
          : i < 40
            ? [b ^ c ^ d, 0x6ed9eba1]
            : i < 60
              ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
              : [b ^ c ^ d, 0xca62c1d6]
      const next = (left(a, 5) + f + e + k + at(i)) | 0
      e = d
      d = c
      c = left(b, 30)
      b = a
      a = next
    }
    for (const [i, value] of [a, b, c, d, e].entries()) h[i] = ((h[i] ?? 0) + value) | 0
  }
  return h.flatMap((word) => [(word >>> 24) & 0xff, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff])
}

function left(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by))
}
