const WIDTH = 32
const MIB = 1 << 20

/** One bar a layer, redrawn in place on a terminal; elsewhere one line when a layer is complete. */
export class ProgressBars {
  readonly #bars = new Map<string, string>()
  readonly #isTerminal = process.stdout.isTTY === true

  update(name: string, done: number, total: number, note: string): void {
    const share = total === 0 ? 1 : Math.min(1, done / total)
    const filled = Math.round(share * WIDTH)
    const amount = `${(done / MIB).toFixed(1)} of ${(total / MIB).toFixed(1)} MiB`
    const line = `  ${name} ${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${amount.padEnd(22)} ${note}`
    const complete = share === 1 && this.#bars.get(name) !== line
    const drawn = this.#bars.size
    this.#bars.set(name, line)
    if (this.#isTerminal) this.#redraw(drawn)
    else if (complete && note !== 'download') console.log(line)
  }

  #redraw(drawn: number): void {
    if (drawn > 0) process.stdout.write(`\x1b[${drawn}A`)
    for (const line of this.#bars.values()) process.stdout.write(`\x1b[2K${line}\n`)
  }
}
