/** A receipt as a picture to keep: drawn here, saved as a file in a browser, to the album in the mini-program. */

const WIDTH = 720
const MARGIN = 40
const NAME_WIDTH = 200
const LINE = 40

type Canvas = HTMLCanvasElement
type Pen = CanvasRenderingContext2D

function canvas(height: number): Canvas {
  // #ifdef H5
  const made = document.createElement('canvas')
  made.width = WIDTH
  made.height = height
  return made
  // #endif
  // #ifndef H5
  const wechat = (globalThis as { wx?: unknown }).wx ?? uni
  return (wechat as { createOffscreenCanvas(o: object): Canvas }).createOffscreenCanvas({
    type: '2d',
    width: WIDTH,
    height,
  })
  // #endif
}

/** The text in lines no wider than `width` pixels. */
function wrapped(pen: Pen, text: string, width: number): string[] {
  return text.split('\n').flatMap((part) => {
    const lines: string[] = ['']
    for (const letter of part) {
      const grown = lines.at(-1)! + letter
      if (pen.measureText(grown).width > width && lines.at(-1)) lines.push(letter)
      else lines[lines.length - 1] = grown
    }
    return lines
  })
}

function draw(title: string, lines: [string, string][]): Canvas {
  const font = (size: number, weight = 400): string =>
    `${weight} ${size}px "PingFang SC", "Noto Sans CJK SC", sans-serif`
  const trial = canvas(1).getContext('2d') as Pen
  trial.font = font(26)
  const rows = lines.map(([name, value]) => ({ name, value: wrapped(trial, value, WIDTH - 2 * MARGIN - NAME_WIDTH) }))
  const height = 150 + rows.reduce((sum, row) => sum + row.value.length * LINE + 20, 0) + MARGIN
  const made = canvas(height)
  const pen = made.getContext('2d') as Pen
  pen.fillStyle = '#ffffff'
  pen.fillRect(0, 0, WIDTH, height)
  pen.fillStyle = '#1b2430'
  pen.textAlign = 'center'
  pen.font = font(38, 600)
  pen.fillText(title, WIDTH / 2, 88)
  pen.textAlign = 'left'
  let top = 150
  for (const row of rows) {
    pen.fillStyle = '#e2e6ec'
    pen.fillRect(MARGIN, top - 32, WIDTH - 2 * MARGIN, 1)
    pen.font = font(24)
    pen.fillStyle = '#5d6878'
    pen.fillText(row.name, MARGIN, top + 6, NAME_WIDTH - 12)
    pen.font = font(26)
    pen.fillStyle = '#1b2430'
    for (const text of row.value) {
      pen.fillText(text, MARGIN + NAME_WIDTH, top + 6)
      top += LINE
    }
    top += 20
  }
  return made
}

/** Rejects where it could not be saved, for example when the album is not allowed. */
export async function saveReceipt(title: string, lines: [string, string][], number: string): Promise<void> {
  const made = draw(title, lines)
  // #ifdef H5
  const blob = await new Promise<Blob | null>((resolve) => made.toBlob(resolve, 'image/png'))
  if (!blob) throw new Error('canvas')
  const address = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = address
  link.download = `${title}-${number}.png`
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 10_000)
  // #endif
  // #ifndef H5
  const path = await new Promise<string>((resolve, reject) => {
    uni.canvasToTempFilePath({
      canvas: made,
      fileType: 'png',
      success: ({ tempFilePath }: { tempFilePath: string }) => resolve(tempFilePath),
      fail: reject,
    } as never)
  })
  await new Promise<void>((resolve, reject) => {
    uni.saveImageToPhotosAlbum({ filePath: path, success: () => resolve(), fail: reject })
  })
  // #endif
  void number
}
