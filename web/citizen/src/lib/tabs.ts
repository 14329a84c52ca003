import { citizen } from '@banshi/words'
import { language, say } from './language'
import { TABS } from './navigation'

let named = 'zh-CN'

/** Name WeChat's own tabs in the language of the moment (they are Chinese from the start). */
export function nameTabs(): void {
  // #ifndef H5
  const page = getCurrentPages().slice(-1)[0]?.route
  if (named === language.value || !Object.values(TABS).some((tab) => tab === `/${page}`)) return
  named = language.value
  const t = say(citizen)
  const texts = [t.tabHome, t.tabConsultations, t.tabCases, t.tabMe]
  texts.forEach((text, index) => uni.setTabBarItem({ index, text }))
  // #endif
  void [named, language, say, TABS, citizen]
}
