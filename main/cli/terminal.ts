/**
 * How the command line speaks: results on stdout, everything else on stderr, progress only there. Knows no command and
 * no engine. Colours follow the terminal, NO_COLOR and FORCE_COLOR.
 */
import { styleText } from 'node:util'

export interface Terminal {
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
}

/** Control characters but line feed and tab, and those that reverse what stands beside them. */
const DANGEROUS = /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

const hex = (character: string, digits: number): string => character.charCodeAt(0).toString(16).padStart(digits, '0')

/**
 * Text from model files, replies and names of files, with what a terminal would obey written out: "\x1b", "\u202e". Every
 * character stands for itself, so a text may come in parts.
 */
export function printable(text: string): string {
  return text.replace(DANGEROUS, character =>
    character < '\u0100' ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`,
  )
}

/** As it is into a file or a pipe, printable on a terminal. */
export function writeText(stream: NodeJS.WriteStream, text: string): void {
  stream.write(stream.isTTY ? printable(text) : text)
}

/** A sentence on stderr. */
export function warn(terminal: Terminal, message: string): void {
  terminal.stderr.write(`tern: ${printable(message)}\n`)
}

/** One JSON value on one line of stdout. */
export function writeJson(terminal: Terminal, value: unknown): void {
  // JSON.stringify leaves some of them as they are.
  const json = JSON.stringify(value).replace(DANGEROUS, character => `\\u${hex(character, 4)}`)
  terminal.stdout.write(`${json}\n`)
}

/** Less important text, printable, where `stream` is a terminal with colours. */
export function dim(text: string, stream: NodeJS.WriteStream): string {
  return styleText('dim', printable(text), { stream })
}

/** Rows of label and value in two aligned columns, printable; a value stays on its line. */
export function table(rows: readonly (readonly [label: string, value: string])[]): string {
  const width = Math.max(...rows.map(([label]) => label.length))
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${printable(value.replace(/\s+/g, ' '))}\n`).join('')
}

/** Rows of cells in aligned columns. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')
  return rows.map(row => `${line(row).trimEnd()}\n`).join('')
}

/** Bytes in binary units, three digits: "35.7 MiB". */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = bytes
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : formatNumber(value)} ${units[unit]}`
}

/** Three significant digits, thousands separated; a dash for a figure that was not measured. */
export function formatNumber(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return '–'
  if (value >= 100) return Math.round(value).toLocaleString('en-US')
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function formatRate(tokensPerSecond: number | null): string {
  return `${formatNumber(tokensPerSecond)} tokens/s`
}

export function formatMs(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${formatNumber(milliseconds / 1000)} s`
}

export interface Progress {
  /** `fraction` in 0..1; `detail` says what is being done now. */
  update(fraction: number, detail?: string): void
  /** Clears the bar. */
  end(): void
}

const BAR_WIDTH = 28
/** No bar flashes up for work that is over in a moment. */
const SHORT_WORK_MS = 300

/**
 * A bar on stderr when it is a terminal. Otherwise one line every tenth of the work when `lines` is set, for logs of
 * long work, else nothing.
 */
export function startProgress(terminal: Terminal, label: string, { lines = false } = {}): Progress {
  const { stderr } = terminal
  let shownTenth = -1
  let shown = ''
  const startedAtMs = performance.now()
  if (stderr.isTTY) {
    return {
      update(fraction, detail = '') {
        if (performance.now() - startedAtMs < SHORT_WORK_MS) return
        const filled = Math.round(fraction * BAR_WIDTH)
        const bar = `${'█'.repeat(filled)}${dim('░'.repeat(BAR_WIDTH - filled), stderr)}`
        const line = `${label} ${bar} ${percent(fraction)}  ${printable(detail.slice(0, 32))}`
        if (line !== shown) stderr.write(`\r\x1b[K${line}`)
        shown = line
      },
      end() {
        if (shown !== '') stderr.write('\r\x1b[K')
        shown = ''
      },
    }
  }
  return {
    update(fraction) {
      const tenth = Math.floor(fraction * 10)
      if (!lines || tenth <= shownTenth) return
      shownTenth = tenth
      stderr.write(`${label} ${percent(fraction)}\n`)
    },
    end() {},
  }
}

const percent = (fraction: number): string => `${String(Math.floor(fraction * 100)).padStart(3)} %`
