export { area, words } from './area'
export type { Area, Language, Like } from './area'
export { common } from './common'
export { desk } from './desk'
