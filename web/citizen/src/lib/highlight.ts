export interface Piece {
  text: string
  hit: boolean
}

/**
 * `text` in pieces, those marked that stand in `asked` too: runs of two characters and more (of one, where only one
 * was asked for). Case does not matter. What was found by sound (pinyin) has no marks.
 */
export function highlight(text: string, asked: string): Piece[] {
  const letters = Array.from(text)
  const wanted = asked.toLowerCase().replace(/\s+/g, ' ').trim()
  const least = Math.min(2, Array.from(wanted).length)
  const hits = letters.map(() => false)
  for (let from = 0; wanted !== '' && from < letters.length; from += 1) {
    let length = 0
    while (
      from + length < letters.length &&
      wanted.includes(
        letters
          .slice(from, from + length + 1)
          .join('')
          .toLowerCase(),
      )
    ) {
      length += 1
    }
    if (length >= least) hits.fill(true, from, from + length)
  }
  const pieces: Piece[] = []
  letters.forEach((letter, index) => {
    const last = pieces[pieces.length - 1]
    const hit = hits[index] ?? false
    if (last && last.hit === hit) last.text += letter
    else pieces.push({ text: letter, hit })
  })
  return pieces
}
