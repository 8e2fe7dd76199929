/** `tern watch`: the power that this machine draws and its memory, a line a second. */
import { freemem, totalmem } from 'node:os'
import type { Command } from 'commander'
import type { PowerSample } from '../../contract/app/power.ts'
import type { PowerScope } from '../../contract/words/energy.ts'
import { PowerMeter } from '../services/telemetry/power-meter.ts'
import { findPowerSources } from '../services/telemetry/power-sources.ts'
import { systemTime } from '../time.ts'
import type { CommandContext } from './command-context.ts'
import { positiveCount } from './options.ts'
import { formatBytes, formatNumber, warn, writeJson, writeText } from './terminal.ts'

interface WatchOptions {
  count?: number
  json?: true
}

const PERIOD_MS = 1_000

const SCOPES: Readonly<Record<PowerScope, string>> = {
  package: 'processor',
  dram: 'memory modules',
  gpu: 'graphics',
  board: 'board',
  system: 'whole machine',
}

const EXAMPLES = `
What is drawn is told for each source by itself: sources may contain each other, so nothing is added up. A dash means that
nothing is known now, never that nothing is drawn.

Examples:
  tern watch
  tern watch --count 60 --json > minute.jsonl
`

export function defineWatch(program: Command, run: (options: WatchOptions) => Promise<void>): void {
  program
    .command('watch')
    .summary('show power and memory of this machine')
    .description('Shows the power that this machine draws and its free memory, a line a second, until Ctrl-C.')
    .option('--count <n>', 'end after n lines', positiveCount)
    .option(
      '--json',
      'a JSON object a line: {sampledAtMs, readings: [{id, scope, name, method, watts}], closed: [{id, scope, name, remedy}], idleWatts, freeBytes, totalBytes}',
    )
    .addHelpText('after', EXAMPLES)
    .action((options: WatchOptions) => run(options))
}

export async function watch(options: WatchOptions, context: CommandContext): Promise<number> {
  const { terminal, interrupts } = context
  context.wantsJson = options.json === true
  const stop = new AbortController()
  const end = () => stop.abort()
  if (interrupts.signal.aborted) end()
  interrupts.signal.addEventListener('abort', end)
  let latest: PowerSample | null = null
  let left = options.count ?? Number.POSITIVE_INFINITY
  const show = () => {
    if (latest === null || stop.signal.aborted) return
    const memory = { freeBytes: freemem(), totalBytes: totalmem() }
    if (options.json) writeJson(terminal, { ...latest, ...memory })
    else writeText(terminal.stdout, `${line(latest, memory)}\n`)
    if (--left <= 0) end()
  }
  const meter = new PowerMeter(() => findPowerSources(context.powerMachine))
  const stopTicking = systemTime.every(PERIOD_MS, show)
  try {
    await meter.watch(sample => {
      const isFirst = latest === null
      latest = sample
      if (!isFirst) return
      if (!options.json) for (const sentence of notes(sample)) warn(terminal, sentence)
      show()
    }, stop.signal)
  } finally {
    stopTicking()
  }
  return interrupts.signal.aborted ? interrupts.exitCode : 0
}

/** What would have to be done to see more. */
function notes({ readings, closed }: PowerSample): string[] {
  const remedies = [...new Set(closed.map(({ remedy }) => remedy))]
  const open = remedies.map(remedy => `There is a meter that only the root user may read; this opens it: ${remedy}`)
  if (open.length > 0 || readings.length > 0) return open
  return ['This machine has no power meter that Tern can read; virtual machines have none.']
}

function line({ readings, idleWatts }: PowerSample, memory: { freeBytes: number; totalBytes: number }): string {
  return [
    ...(readings.length === 0
      ? ['power – W']
      : readings.map(({ scope, watts }) => `${SCOPES[scope]} ${formatNumber(watts)} W`)),
    ...(idleWatts === null ? [] : [`idle ${formatNumber(idleWatts)} W`]),
    `memory ${formatBytes(memory.freeBytes)} free of ${formatBytes(memory.totalBytes)}`,
  ].join(' · ')
}
