/**
 * Board power of NVIDIA cards by their driver's program. The driver averages or samples (a quarter of the time on some
 * cards), so short messages are bounded by it and not measured. On an H100, samples twice a second over 20 s came within 0.6 %
 * of the card's own energy counter when idle and under full load, and were 8 % too high under bursts of a quarter of the time.
 */
import type { PowerMachine, PowerReader, PowerSources } from '../ports.ts'

const FIELDS = ['power.draw.instant', 'power.draw'] as const

export async function nvidiaSources(machine: PowerMachine): Promise<PowerSources> {
  for (const field of FIELDS) {
    const output = await ask(machine, `index,name,${field}`)
    if (output === null) continue
    const cards = parseNvidiaPower(output)
    if (cards.every(({ watts }) => watts === null)) continue
    // All cards are asked in one run of the program.
    const all = shared(async () => parseNvidiaPower((await ask(machine, `index,name,${field}`)) ?? ''))
    return {
      readers: cards.map(
        ({ index, name }): PowerReader => ({
          id: `nvidia ${index}`,
          scope: 'gpu',
          name,
          counterRangeJoules: null,
          read: async () => (await all()).find(card => card.index === index)?.watts ?? null,
        }),
      ),
      closed: [],
    }
  }
  return { readers: [], closed: [] }
}

/** Lines `0, NVIDIA H100, 123.45`; what the driver does not know is `[N/A]`. */
export function parseNvidiaPower(output: string): { index: number; name: string; watts: number | null }[] {
  return output.split('\n').flatMap(line => {
    const [index, name, watts] = line.split(',').map(part => part.trim())
    if (index === undefined || name === undefined || !/^\d+$/.test(index)) return []
    return [
      { index: Number(index), name, watts: watts !== undefined && /^\d+(\.\d+)?$/.test(watts) ? Number(watts) : null },
    ]
  })
}

const ask = (machine: PowerMachine, query: string) =>
  machine.run('nvidia-smi', [`--query-gpu=${query}`, '--format=csv,noheader,nounits'])

/** One call for all who ask in the same moment. */
function shared<T>(call: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | null = null
  return () => {
    running ??= call().finally(() => {
      running = null
    })
    return running
  }
}
