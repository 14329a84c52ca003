/** The parts of a guide that a card in a consultation points at: `materials.form`, `fees`, `windows.0`. */

/** The id of the part's element on the page. */
export function partId(item: string): string {
  return `part-${item.replace(/[^\w-]/g, '-')}`
}

/** Where the eye is to be led for a part, best first: the part itself, else the section it stands in. */
export function partIds(item: string): string[] {
  return [...new Set([partId(item), partId(item.split('.')[0] ?? '')])]
}

/** Show the part in the middle of the screen and tell who hears the page; nothing where the guide has none such. */
export function showPart(item: string): void {
  // #ifdef H5
  for (const id of partIds(item)) {
    const found = document.getElementById(id)
    if (!found) continue
    found.setAttribute('tabindex', '-1')
    found.classList.add('pointed-at')
    found.focus({ preventScroll: true })
    found.scrollIntoView({ block: found.offsetHeight > window.innerHeight / 2 ? 'start' : 'center' })
    return
  }
  // #endif
  // #ifndef H5
  // what lies inside a component cannot be reached from the page: its section can
  uni.pageScrollTo({ selector: `#${partIds(item).at(-1)}`, fail: () => undefined })
  // #endif
}
