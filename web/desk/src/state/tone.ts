let context: AudioContext | null = null

/** Two short notes, made here: no file is loaded. Silent where the browser does not allow sound yet. */
export function tone(): void {
  context ??= new AudioContext()
  if (context.state === 'suspended') void context.resume()
  const start = context.currentTime + 0.02
  for (const [index, frequency] of [880, 1174.7].entries()) {
    const from = start + index * 0.14
    const oscillator = new OscillatorNode(context, { type: 'sine', frequency })
    const volume = new GainNode(context, { gain: 0 })
    volume.gain.setValueAtTime(0, from)
    volume.gain.linearRampToValueAtTime(0.18, from + 0.015)
    volume.gain.exponentialRampToValueAtTime(0.001, from + 0.3)
    oscillator.connect(volume).connect(context.destination)
    oscillator.start(from)
    oscillator.stop(from + 0.32)
  }
}
