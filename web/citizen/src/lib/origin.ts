/** Before every path of the server: empty in the browser, the server's origin (`VITE_SERVER_ORIGIN` at build) elsewhere. */
export function serverOrigin(): string {
  let origin = ''
  // #ifndef H5
  origin = String(import.meta.env.VITE_SERVER_ORIGIN ?? '')
  // #endif
  return origin
}
