export function miniProgramGlobals(): {
  name: string
  enforce: 'pre'
  transform(code: string, id: string): string | undefined
}
