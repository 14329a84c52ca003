/** Drawn for this product on a 24 × 24 grid, lines of 1.8. */
export const ICONS = {
  home: '<path d="M4 11.5 12 5l8 6.5"/><path d="M6 10v9h12v-9"/><path d="M10 19v-5h4v5"/>',
  talk: '<path d="M4 6h16v10H12l-4.5 3.5V16H4z"/><path d="M8.5 11h.01M12 11h.01M15.5 11h.01" stroke-width="2.4"/>',
  cases: '<path d="M6 4h9l3 3v13H6z"/><path d="M9 10h6M9 13.5h6M9 17h4"/>',
  me: '<circle cx="12" cy="8.5" r="3.7"/><path d="M5 20c.6-4 3.300-6 7-6s6.400 2 7 6"/>',
  search: '<circle cx="11" cy="11" r="6"/><path d="m15.500 15.500 4.500 4.500"/>',
  back: '<path d="m14.500 5-7 7 7 7"/>',
  next: '<path d="m9.500 5 7 7-7 7"/>',
  down: '<path d="m5 9 7 7 7-7"/>',
  close: '<path d="m6 6 12 12M18 6 6 18"/>',
  check: '<path d="m5 12.500 4.500 4.500L19 7.500"/>',
  star: '<path d="m12 4 2.450 5.100 5.550.750-4.050 3.900 1 5.550L12 16.600l-4.950 2.700 1-5.550L4 9.850l5.550-.750z"/>',
  share: '<path d="M12 15V4.500M8 8l4-4 4 4"/><path d="M6 12v8h12v-8"/>',
  phone:
    '<path d="M6 4h3.500l1.500 4.500-2 1.500a11 11 0 0 0 5 5l1.500-2 4.500 1.500V18a2 2 0 0 1-2 2C11 20 4 13 4 6a2 2 0 0 1 2-2z"/>',
  place:
    '<path d="M12 20.500s6.500-5.800 6.500-10.500a6.500 6.500 0 0 0-13 0c0 4.700 6.500 10.500 6.500 10.500z"/><circle cx="12" cy="10" r="2.300"/>',
  clock: '<circle cx="12" cy="12" r="8"/><path d="M12 7.500V12l3 2"/>',
  money: '<circle cx="12" cy="12" r="8"/><path d="m9 8 3 4 3-4M9 12.300h6M9 14.800h6M12 12v5"/>',
  walk: '<circle cx="13" cy="4.800" r="1.500"/><path d="m9 11 2.500-2.500 2.500 1 1.500 2.500 2.500 1M12 9l-1 5 3 2.500.500 4M11 14l-1.500 3-2.500 3"/>',
  papers: '<path d="M8 4h8l3 3v10H8z"/><path d="M8 8H5v12h10v-3M11 10.500h5M11 13.500h5"/>',
  bell: '<path d="M6 16.500V11a6 6 0 0 1 12 0v5.500l1.500 1.500h-15zM10 20.500h4"/>',
  megaphone: '<path d="M5 10v4h3l8 4V6L8 10zM19 10v4M8 14l1.500 6"/>',
  text: '<path d="M3 18 8 6l5 12M4.800 14h6.400M15 18l3-7 3 7M16 15.800h4"/>',
  globe:
    '<circle cx="12" cy="12" r="8"/><path d="M4 12h16M12 4c2.700 2.500 3.700 5.300 3.700 8s-1 5.500-3.700 8c-2.700-2.500-3.700-5.300-3.700-8s1-5.500 3.700-8z"/>',
  device: '<rect x="7" y="3.500" width="10" height="17" rx="2"/><path d="M11 17.500h2"/>',
  info: '<circle cx="12" cy="12" r="8"/><path d="M12 11v5"/><path d="M12 8h.01" stroke-width="2.400"/>',
  warn: '<path d="M12 4 3 19.500h18z"/><path d="M12 10v4.500"/><path d="M12 17h.01" stroke-width="2.400"/>',
  exit: '<path d="M13 5H6v14h7M10 12h10M16.500 8.500 20 12l-3.500 3.500"/>',
  offline:
    '<path d="M4 4l16 16M5 10.500A11 11 0 0 1 9 8.200M12.500 7.500a11 11 0 0 1 6.500 3M8 14a6 6 0 0 1 4-1.500M12 17.500h.01"/>',
  camera: '<path d="M4 8h4l1.500-2.500h5L16 8h4v11H4z"/><circle cx="12" cy="13" r="3.200"/>',
  plus: '<path d="M12 5v14M5 12h14"/>',
  send: '<path d="M4 12 20 4l-4 16-4.500-6.500z"/>',
  law: '<path d="M12 4v16M7 20h10M5 7h14M5 7l-2.500 6a3 3 0 0 0 5 0zM19 7l-2.500 6a3 3 0 0 0 5 0z"/>',
  person: '<circle cx="12" cy="8.500" r="3.700"/><path d="M5 20c.6-4 3.300-6 7-6s6.400 2 7 6"/>',
  building: '<path d="M5 20V5h9v15M14 10h5v10M3.500 20h17M8 8.500h3M8 12h3M8 15.500h3"/>',
  trash: '<path d="M5 7h14M9 7V4.500h6V7M7 7l1 13h8l1-13M10.500 10.500v6M13.500 10.500v6"/>',
  edit: '<path d="m5 19 1-4L16 5l3 3L9 18z"/>',
} as const

export type IconName = keyof typeof ICONS

/** A picture as an address that can stand in a style. */
export function picture(name: IconName): string {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#000" stroke-width="1.8" ' +
    `stroke-linecap="round" stroke-linejoin="round">${ICONS[name]}</svg>`
  return `url("data:image/svg+xml,${encodeURIComponent(svg)}")`
}
