/** Figures as people read them, units always. A figure that nobody measured is a dash, never zero. */

export const DASH = '–'

const NO_BREAK_SPACE = '\u00a0'
let grouped: Intl.NumberFormat
let fixed: readonly Intl.NumberFormat[]

/** Figures are written as this language writes them. */
export function setNumberLocale(locale: string): void {
  grouped = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 })
  fixed = [0, 1, 2].map(
    digits => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }),
  )
}
setNumberLocale('en')

type Measured = number | null | undefined
const missing = (value: Measured): value is null | undefined =>
  value === null || value === undefined || !Number.isFinite(value)

/** Three significant digits: 3.14, 31.4, 314, 3,140. */
const threeDigits = (value: number) =>
  (Math.abs(value) < 10 ? fixed[2] : Math.abs(value) < 100 ? fixed[1] : fixed[0])!.format(value)

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Binary units; whole numbers without decimals ("36 KiB", "23.4 MiB"). */
export function formatBytes(bytes: Measured): string {
  if (missing(bytes)) return DASH
  let value = bytes
  let unit = 0
  while (value >= 1023.5 && unit < BINARY.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number.isInteger(value) ? grouped.format(value) : threeDigits(value)}${NO_BREAK_SPACE}${BINARY[unit]}`
}

/** Tokens a second, without the unit: "8.4", "112". */
export function formatRate(tokensPerSecond: Measured): string {
  if (missing(tokensPerSecond)) return DASH
  return (tokensPerSecond < 100 ? fixed[1] : fixed[0])!.format(tokensPerSecond)
}

/** "118 ms", "1.42 s", "2 min 5 s". */
export function formatDuration(milliseconds: Measured): string {
  if (missing(milliseconds)) return DASH
  if (milliseconds < 999.5) return `${fixed[0]!.format(milliseconds)}${NO_BREAK_SPACE}ms`
  if (milliseconds < 59_950) return `${threeDigits(milliseconds / 1000)}${NO_BREAK_SPACE}s`
  const seconds = Math.round(milliseconds / 1000)
  return `${Math.floor(seconds / 60)}${NO_BREAK_SPACE}min ${seconds % 60}${NO_BREAK_SPACE}s`
}

/** An estimate tells whole seconds, beyond a minute whole minutes: "9 s", "3 min". */
export function formatEstimate(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000))
  return seconds < 60
    ? `${seconds}${NO_BREAK_SPACE}s`
    : `${grouped.format(Math.round(seconds / 60))}${NO_BREAK_SPACE}min`
}

/** Parameter counts: "97.6 M", "1.30 B". */
export function formatParameters(count: Measured): string {
  if (missing(count)) return DASH
  if (count >= 999.5e6) return `${threeDigits(count / 1e9)}${NO_BREAK_SPACE}B`
  if (count >= 999.5e3) return `${threeDigits(count / 1e6)}${NO_BREAK_SPACE}M`
  return grouped.format(count)
}

/** Power: "38.4 W", "0.65 W". */
export const formatWatts = (watts: Measured): string =>
  missing(watts) ? `${DASH}${NO_BREAK_SPACE}W` : `${threeDigits(watts)}${NO_BREAK_SPACE}W`

/** Energy: "8.9 kJ", "12.5 J", "340 mJ". */
export function formatEnergy(joules: Measured): string {
  if (missing(joules)) return DASH
  if (joules >= 999.5) return `${threeDigits(joules / 1_000)}${NO_BREAK_SPACE}kJ`
  if (joules >= 0.9995 || joules === 0) return `${threeDigits(joules)}${NO_BREAK_SPACE}J`
  return `${threeDigits(joules * 1_000)}${NO_BREAK_SPACE}mJ`
}

/** "0.29 J/token". */
export const formatEnergyPerToken = (joules: Measured, tokens: number): string =>
  missing(joules) || tokens === 0 ? DASH : `${formatEnergy(joules / tokens)}/token`

/** The round figure at or above `watts` that ends an axis: 1, 2, 5, 10, 20, 50... */
export function axisEndWatts(watts: number): number {
  for (let decade = 1; ; decade *= 10) for (const step of [1, 2, 5]) if (step * decade >= watts) return step * decade
}

export const formatPercent = (fraction: Measured): string =>
  missing(fraction) ? DASH : `${grouped.format(fraction * 100)}${NO_BREAK_SPACE}%`

/** The round figure at or above `bytes` that ends an axis: 1, 2, 4, 8... of a binary unit. */
export function axisEndBytes(bytes: number): number {
  let end = 1024
  while (end < bytes) end *= 2
  return end
}
