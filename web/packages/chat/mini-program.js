/**
 * For the Vite build of a mini-program: engine.io-client looks for the global object with `Function("return this")()`,
 * which mini-programs forbid, so that the whole program would not load. It gets the few members it uses instead.
 *
 *     plugins: [miniProgramGlobals(), uni()]
 *
 * @returns {{ name: string, enforce: 'pre', transform(code: string, id: string): string | undefined }}
 */
export function miniProgramGlobals() {
  const wanted = /Function\(["']return this["']\)\(\)/
  const members =
    '{ setTimeout: (work, after) => setTimeout(work, after), clearTimeout: (timer) => clearTimeout(timer) }'
  return {
    name: 'banshi-mini-program-globals',
    enforce: 'pre',
    transform(code, id) {
      if (!/engine\.io-client\/.*globals(\.node)?\.js/.test(id.replace(/\\/g, '/')) || !wanted.test(code))
        return undefined
      return code.replace(wanted, `(typeof globalThis === 'object' && globalThis.setTimeout ? globalThis : ${members})`)
    },
  }
}
