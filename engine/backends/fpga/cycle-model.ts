/**
 * Cycles of a step from a program's ops alone, as the gateware counts them (its CYCLES request): memory with its page changes
 * and refreshes, lanes, vector passes. Equal to simulated counters within 1 % (test/gateware). What depends on values (how far
 * a sum has to be shifted) is taken at its mean.
 */
import type { DeviceOp } from './program.ts'

export interface DeviceTiming {
  readonly lanes: number
  /** Words of 16 bits in a row of the memory chip. */
  readonly pageWords: number
  /** Cycles that a change of page takes, that a refresh takes, and between refreshes. */
  readonly pageChange: number
  readonly refresh: number
  readonly refreshEvery: number
  /** Words a cycle that memory gives at best: 1 by default, less where it is slower than the core. */
  readonly wordsPerCycle?: number
  /** The same for weights alone, through a port that is wider than a word. */
  readonly codeWordsPerCycle?: number
}

/** The controller of `gateware/rtl/tern_sdram.sv` with its defaults, on a chip with rows of 512 words. */
export const SDR_SDRAM = { pageWords: 512, pageChange: 7, refresh: 16, refreshEvery: 900 } as const

export interface StepCycles {
  readonly total: number
  /** Of descriptors, norm weights and bounds, norms, int8 inputs, matrices, the state, the GLU. */
  readonly fetch: number
  readonly load: number
  readonly norms: number
  readonly inputs: number
  readonly rows: number
  readonly state: number
  readonly glu: number
  /** Words read. */
  readonly words: number
}

const DESCRIPTOR_WORDS = 16
const GROUP = 64
/** Latencies beside what is counted element by element: pipelines, roots, divisions, a memory's first word. */
const FIXED = { fetch: 20, load: 12, norm: 72, inputs: 96, rows: 35, state: 58, glu: 29, op: 1 } as const

/** `tokens`: how many share one fetch of the weights. */
export function stepCycles(ops: readonly DeviceOp[], timing: DeviceTiming, tokens = 1): StepCycles {
  const { wordsPerCycle = 1, codeWordsPerCycle = wordsPerCycle } = timing
  const memory = (words: number, perCycle = wordsPerCycle): number =>
    ((words / perCycle) * (1 + timing.pageChange / timing.pageWords)) / (1 - timing.refresh / timing.refreshEvery)
  const sum = { fetch: 0, load: 0, norms: 0, inputs: 0, rows: 0, state: 0, glu: 0, words: 0 }
  for (const op of ops) {
    sum.fetch += memory(DESCRIPTOR_WORDS) + FIXED.fetch
    sum.words += DESCRIPTOR_WORDS
    const loaded = wordsLoaded(op)
    if (loaded > 0) sum.load += memory(loaded) + FIXED.load
    sum.words += loaded
    const padded = Math.ceil(op.width / GROUP) * GROUP
    switch (op.kind) {
      case 'norm':
        sum.norms += tokens * (2 * op.width + FIXED.norm)
        break
      case 'linear': {
        const beats = (op.rows * padded) / timing.lanes
        sum.inputs += tokens * (op.width + padded + FIXED.inputs)
        sum.rows += Math.max(memory(op.codeWords, codeWordsPerCycle), tokens * beats) + FIXED.rows
        sum.words += op.codeWords
        break
      }
      case 'state':
        sum.state += tokens * (3 * op.width + FIXED.state)
        break
      case 'glu':
        sum.glu += tokens * (2 * op.width + FIXED.glu)
        break
    }
  }
  const { fetch, load, norms, inputs, rows, state, glu } = sum
  return { ...sum, total: fetch + load + norms + inputs + rows + state + glu + ops.length * FIXED.op + 2 }
}

function wordsLoaded(op: DeviceOp): number {
  switch (op.kind) {
    case 'norm':
      return op.hasWeight ? op.width : 0
    case 'linear':
      return 2 * op.width
    case 'state':
      return op.width
    case 'glu':
      return 0
  }
}
