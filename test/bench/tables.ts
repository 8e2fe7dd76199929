/** The figures of a run as tables for people. Rates are the median of the rounds, the best one in brackets. */
import type { ColdStart } from './cold-start.ts'
import type { Machine } from './machine.ts'
import type { Flatness, Kernels, Ops, Rate, Resume, Speed } from './results.ts'

export interface SpeedLine extends Speed {
  shape: string
  /** Of a random model; null: as the given file has it. */
  packing: string | null
}

export interface PeerLine {
  shape: string
  threads: number
  kernel: string
  /** Tokens a second; one a round, ours and the peer's in alternation. */
  decode: { ours: Rate; peer: Rate; ratio: Rate }
  prefill: { ours: Rate; peer: Rate; ratio: Rate } | null
}

const mega = (bytes: number): string => (bytes / 1e6).toFixed(1)
const places = (value: number): number => (value >= 100 ? 0 : value >= 10 ? 1 : 2)
const short = (value: number): string => value.toFixed(places(value))
const rate = ({ best, median }: Rate, divisor = 1): string => `${short(median / divisor)} (${short(best / divisor)})`
const giga = (value: Rate | null | undefined): string => (value ? rate(value, 1e9) : '-')

function table(title: string, rows: string[][]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  const lines = rows.map(row =>
    row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join('  '),
  )
  return `${title}\n${lines.join('\n')}\n\n`
}

export function machineText(machine: Machine): string {
  const { cpu, cores, flags, lastLevelCacheBytes, memoryBytes, platform, node, v8, commit, date } = machine
  const cache = lastLevelCacheBytes === null ? '' : `, ${lastLevelCacheBytes / 2 ** 20} MiB last-level cache`
  return (
    `${date.slice(0, 16).replace('T', ' ')} UTC, commit ${commit ?? 'unknown'}\n` +
    `${cpu}, ${cores} cores, ${flags?.join(' ') || 'flags unknown'}${cache}, ` +
    `${(memoryBytes / 2 ** 30).toFixed(0)} GiB\n${platform}, Node ${node}, V8 ${v8}\n\n`
  )
}

export function speedTables(lines: SpeedLine[]): string {
  const name = ({ shape, packing, threads }: SpeedLine) => [packing ? `${shape} ${packing}` : shape, String(threads)]
  const speed = table('Speed, tokens/s: median (best)', [
    ['model', 'threads', 'kernel', 'decode', 'memory limit', 'of the limit', 'prefill', 'first token ms', 'load ms'],
    ...lines.map(line => [
      ...name(line),
      line.kernel,
      rate(line.decodeTokensPerSecond),
      line.memoryReadBytesPerSecond ? rate(line.memoryReadBytesPerSecond, line.bytesReadPerToken) : '-',
      line.memoryLimitRatio ? rate(line.memoryLimitRatio) : '-',
      rate(line.prefillTokensPerSecond),
      line.firstTokenMs.toFixed(0),
      line.loadMs.toFixed(0),
    ]),
  ])
  const products = table('Matrix products of a whole step, and reading the weights alone', [
    ['model', 'threads', 'read GB/s', 'GEMV Gweights/s', 'GEMV GB/s', 'of a decode step', 'GEMM Gmac/s'],
    ...lines.map(line => [
      ...name(line),
      giga(line.memoryReadBytesPerSecond),
      giga(line.products?.gemvWeightsPerSecond),
      giga(line.products?.gemvBytesPerSecond),
      productsShare(line),
      giga(line.products?.gemmMultiplyAddsPerSecond),
    ]),
  ])
  const memory = table('Memory, MB; processes less an empty one', [
    ['model', 'threads', 'file', 'weights', 'state', 'scratch', 'empty', 'loading', '/ file', 'decoding', 'peak'],
    ...lines.map(line => [
      ...name(line),
      mega(line.fileBytes),
      mega(line.memory.weightBytes),
      mega(line.bytesPerState),
      mega(line.memory.scratchBytes),
      mega(line.emptyRssBytes),
      mega(line.loadPeakRssBytes - line.emptyRssBytes),
      ((line.loadPeakRssBytes - line.emptyRssBytes) / line.fileBytes).toFixed(2),
      mega(line.rssBytes - line.emptyRssBytes),
      mega(line.peakRssBytes - line.emptyRssBytes),
    ]),
  ])
  return speed + products + memory + otherDecodes(lines)
}

/** How much of the time of a decode step the matrix products take by themselves. */
function productsShare({ decodeTokensPerSecond, bytesReadPerToken, products }: SpeedLine): string {
  if (!products) return '-'
  const share = (decodeTokensPerSecond.median * bytesReadPerToken) / products.gemvBytesPerSecond.median
  return `${(100 * share).toFixed(0)} %`
}

/** Ways to decode that only some backends have. */
function otherDecodes(lines: SpeedLine[]): string {
  const rows = lines.flatMap(line => {
    const start = [line.packing ? `${line.shape} ${line.packing}` : line.shape, String(line.threads)]
    return [
      ...line.decodeAhead.map(({ sampling, tokensPerSecond }) => [
        ...start,
        `tokens ahead, sampled on the device: ${sampling}`,
        rate(tokensPerSecond),
      ]),
      ...line.batchedDecode.map(({ sequences, tokensPerSecond }) => [
        ...start,
        `${sequences} sequences together`,
        rate(tokensPerSecond),
      ]),
    ]
  })
  return rows.length === 0 ? '' : table('Other ways to decode', [['model', 'threads', 'how', 'tokens/s'], ...rows])
}

export const kernelsTable = (shape: string, { kernel, rows }: Kernels): string =>
  table(`Kernels alone, ${shape}, ${kernel}, 1 thread`, [
    ['kernel', 'one call', 'microseconds', 'items', 'unit', 'GB/s'],
    ...rows.map(row => [
      row.name,
      row.work,
      // The best time is the shortest.
      rate(row.microseconds),
      rate(row.itemsPerSecond, 1e9),
      row.unit,
      giga(row.bytesPerSecond),
    ]),
  ])

export function opsTables(shape: string, { kernel, decode, prefillTokens, prefill }: Ops): string {
  const ops = (title: string, times: Ops['decode']): string =>
    times === null
      ? `${title}: the adapter's clock cannot be read.\n\n`
      : table(title, [
          ['op, workgroups', 'dispatches', 'microseconds'],
          ...times.map(({ op, dispatches, microseconds }) => [op, String(dispatches), microseconds.toFixed(0)]),
          ['all', '', times.reduce((sum, { microseconds }) => sum + microseconds, 0).toFixed(0)],
        ])
  return (
    ops(`A decode step by op, ${shape}, ${kernel}`, decode) +
    ops(`A prefill chunk of ${prefillTokens} tokens by op, ${shape}, ${kernel}`, prefill)
  )
}

export const flatnessTable = ({ threads, samples }: Flatness): string =>
  table(`Memory along one sequence, embedded model, ${threads} threads`, [
    ['tokens', 'process MB', 'engine MB', 'tokens/s since the last line'],
    ...samples.map(({ tokens, rssBytes, engineBytes, tokensPerSecond }) => [
      String(tokens),
      mega(rssBytes),
      mega(engineBytes),
      tokensPerSecond.toFixed(0),
    ]),
  ])

export const resumeTable = ({ threads, chats }: Resume): string =>
  table(`From a chat's state file to its next logits, embedded model, ${threads} threads, ms`, [
    ['tokens', 'file KB', 'first after loading', 'later: median (best)', 'with one more message'],
    ...chats.map(({ tokens, stateFileBytes, afterLoadMs, medianMs, bestMs, nextReplyMs }) => [
      String(tokens),
      (stateFileBytes / 1e3).toFixed(1),
      afterLoadMs.toFixed(1),
      `${medianMs.toFixed(1)} (${bestMs.toFixed(1)})`,
      nextReplyMs.toFixed(1),
    ]),
  ])

export function coldStartText({ threads, firstTextMs }: ColdStart): string {
  const times = firstTextMs.map(ms => ms.toFixed(0)).join(', ')
  return `Start of "tern run" to its first text, embedded model, ${threads} threads: ${times} ms\n\n`
}

export function peerTable(lines: PeerLine[]): string {
  const cells = (pair: PeerLine['decode'] | null) =>
    pair ? [rate(pair.ours), rate(pair.peer), rate(pair.ratio)] : ['-', '-', '-']
  return table('In alternation with the peer, tokens/s: median (best)', [
    ['shape', 'threads', 'decode: ours', 'peer', 'ratio', 'prefill: ours', 'peer', 'ratio'],
    ...lines.map(line => [line.shape, String(line.threads), ...cells(line.decode), ...cells(line.prefill)]),
  ])
}
