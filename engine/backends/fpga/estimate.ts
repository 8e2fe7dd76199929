/**
 * What a board would do with a model of a given shape: tokens/s, what bounds it, and whether it fits. Everything follows from
 * the cycle model and from the table below; no weights are read and nothing is simulated.
 */
import { type DeviceTiming, SDR_SDRAM, type StepCycles, stepCycles } from './cycle-model.ts'
import { codeWords, type DeviceOp, type Packing } from './program.ts'

export interface ModelShape {
  /** D, E, I, L */
  readonly hiddenSize: number
  readonly stateWidth: number
  readonly intermediateSize: number
  readonly layerCount: number
}

type Tag = 'placed' | 'derived' | 'projected' | 'assumed'
interface Figure {
  readonly value: number
  readonly tag: Tag
}

interface Board {
  readonly name: string
  readonly memory: string
  readonly memoryBytes: number
  /** Of 18 kbit. */
  readonly blockRams: number
  readonly lanes: number
  /** Prompt tokens that share a fetch of the weights. */
  readonly batch: number
  readonly clockMhz: Figure
  /** Bytes a second that the memory gives; null: SDR SDRAM of 16 bits at the core's clock, as the gateware's controller drives it. */
  readonly bandwidth: number | null
  /** To the host, both ways together, after framing of the line. */
  readonly linkBytesPerSecond: number
}

const MEGABYTE = 2 ** 20
const UART_2_MBAUD = 200_000

/**
 * Boards. Bandwidths that are no SDR SDRAM's: ECPIX-5 531 MB/s assumed; Arty A7 1,423 MB/s measured by the authors of another
 * project with LiteDRAM; KV260 and one bank of a U250 80 % of 2,400 million transfers of 8 bytes assumed.
 */
const BOARDS = {
  'ulx3s-85f': {
    name: 'ULX3S-85F (ECP5-85F)',
    memory: '32 MiB SDR SDRAM of 16 bits',
    memoryBytes: 32 * MEGABYTE,
    blockRams: 208,
    lanes: 32,
    batch: 4,
    clockMhz: { value: 62.5, tag: 'placed' },
    bandwidth: null,
    linkBytesPerSecond: UART_2_MBAUD,
  },
  'icepi-zero': {
    name: 'Icepi Zero (ECP5-25F)',
    memory: '32 MiB SDR SDRAM of 16 bits',
    memoryBytes: 32 * MEGABYTE,
    blockRams: 56,
    lanes: 16,
    batch: 1,
    clockMhz: { value: 50, tag: 'assumed' },
    bandwidth: null,
    linkBytesPerSecond: UART_2_MBAUD,
  },
  'ecpix-5-85f': {
    name: 'ECPIX-5 (ECP5-85F)',
    memory: '512 MiB DDR3',
    memoryBytes: 512 * MEGABYTE,
    blockRams: 208,
    lanes: 64,
    batch: 2,
    clockMhz: { value: 50, tag: 'assumed' },
    bandwidth: 531e6,
    linkBytesPerSecond: 1_200_000,
  },
  'arty-a7-100t': {
    name: 'Arty A7-100T (XC7A100T)',
    memory: '256 MiB DDR3',
    memoryBytes: 256 * MEGABYTE,
    blockRams: 270,
    lanes: 128,
    batch: 2,
    clockMhz: { value: 80, tag: 'assumed' },
    bandwidth: 1423e6,
    linkBytesPerSecond: 1_200_000,
  },
  kv260: {
    name: 'KV260 (XCK26)',
    memory: '4 GiB DDR4 of 64 bits',
    memoryBytes: 4096 * MEGABYTE,
    blockRams: 288,
    lanes: 512,
    batch: 1,
    clockMhz: { value: 150, tag: 'assumed' },
    bandwidth: 15.36e9,
    linkBytesPerSecond: 100e6,
  },
  u250: {
    name: 'Alveo U250, one bank',
    memory: '16 GiB DDR4 of 64 bits',
    memoryBytes: 16_384 * MEGABYTE,
    blockRams: 5376,
    lanes: 512,
    batch: 4,
    clockMhz: { value: 200, tag: 'assumed' },
    bandwidth: 15.36e9,
    linkBytesPerSecond: 1e9,
  },
} as const satisfies Record<string, Board>
export type BoardId = keyof typeof BOARDS

export const BOARD_IDS = Object.keys(BOARDS) as BoardId[]

/** SDR SDRAM is refreshed this often: 8,192 rows in 64 ms, with room for the step that a refresh waits for. */
const REFRESH_MICROSECONDS = 7
/** What a descriptor and a matrix can count, and where the numeric mode ends (docs/fpga-numerics.md). */
const MAX_STATES = 2 ** 16
const MAX_ROWS = 2 ** 14 - 1
const MAX_WIDTH = 4096
const MAX_INTERMEDIATE = 8192
const MAX_LAYERS = 48
/** A frame's header and CRCs, for a request and for its reply. */
const FRAME_BYTES = 2 * 15
const BYTES_PER_ELEMENT = 4

/** The ops of a step in the order of `deviceProgram`, which has the weights too. */
export function opsOfShape(shape: ModelShape, packing: Packing): DeviceOp[] {
  const { hiddenSize: D, stateWidth: E, intermediateSize: I, layerCount } = shape
  const norm = (width: number, hasWeight = true): DeviceOp => ({ kind: 'norm', width, hasWeight })
  const linear = (width: number, rows: number): DeviceOp => ({
    kind: 'linear',
    width,
    rows,
    codeWords: codeWords(rows, width, packing),
  })
  const block: DeviceOp[] = [
    norm(D),
    linear(D, E),
    linear(D, E),
    linear(D, E),
    { kind: 'state', width: E },
    norm(E),
    linear(E, D),
    norm(D),
    linear(D, 2 * I),
    { kind: 'glu', width: I },
    norm(I, false),
    linear(I, D),
  ]
  return Array.from({ length: layerCount }, () => block).flat()
}

/** Bytes of the image: descriptors, vectors and codes, as every step reads them once. */
export const imageBytes = (ops: readonly DeviceOp[]): number => 2 * stepCycles(ops, { lanes: 64, ...SDR_SDRAM }).words

/** Widths and depths of a block RAM of 18 kbit, the same on ECP5 and on Series 7. */
const BLOCK_SHAPES = [
  [1, 16_384],
  [2, 8192],
  [4, 4096],
  [9, 2048],
  [18, 1024],
  [36, 512],
] as const

const blocksOf = (bits: number, depth: number): number =>
  Math.min(...BLOCK_SHAPES.map(([width, length]) => Math.ceil(bits / width) * Math.ceil(depth / length)))

export interface Buffers {
  readonly lanes: number
  readonly batch: number
  readonly width: number
  readonly inputs: number
  readonly gates: number
  readonly states: number
}

/** Request, reply and line buffer: 5; four copies of the sigmoid table: 8. */
const FIXED_BLOCKS = 13

/** Block RAMs of 18 kbit of `tern_device` with these parameters. A batch of one has residuals, vectors and gates for two. */
export function blockRamsOf({ lanes, batch, width, inputs, gates, states }: Buffers): number {
  const tokens = Math.max(2, batch)
  return (
    blocksOf(32, tokens * width) +
    blocksOf(32, tokens * inputs) +
    blocksOf(24, tokens * gates) +
    blocksOf(28, states) +
    blocksOf(18, inputs) +
    blocksOf(8 * lanes, (batch * inputs) / lanes) +
    FIXED_BLOCKS
  )
}

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(least))

/** The smallest buffers that hold the shape. Addresses are joined from bits, so all but the states are powers of two. */
export function buffersFor(
  { hiddenSize: D, stateWidth: E, intermediateSize: I, layerCount: L }: ModelShape,
  { lanes, batch }: Pick<Buffers, 'lanes' | 'batch'>,
): Buffers {
  return {
    lanes,
    batch,
    width: powerOfTwo(Math.max(D, E)),
    inputs: powerOfTwo(Math.max(D, E, I)),
    gates: powerOfTwo(Math.max(3 * E, 2 * I)),
    states: L * E,
  }
}

function excessesOf({ hiddenSize: D, stateWidth: E, intermediateSize: I, layerCount: L }: ModelShape): string[] {
  const checks: [what: string, value: number, most: number][] = [
    ['states (layers x state width)', L * E, MAX_STATES],
    ['rows of the gate and up matrix', 2 * I, MAX_ROWS],
    ['width', Math.max(D, E), MAX_WIDTH],
    ['intermediate size', I, MAX_INTERMEDIATE],
    ['layers', L, MAX_LAYERS],
  ]
  return checks
    .filter(([, value, most]) => value > most)
    .map(([what, value, most]) => `${what}: ${value} of at most ${most}`)
}

const derived = (value: number): Figure => ({ value, tag: 'derived' })
/** A figure is worth no more than the clock that it was computed with. */
const atClock = (value: number, clock: Figure): Figure => ({
  value,
  tag: clock.tag === 'placed' ? 'derived' : 'projected',
})

export function estimate(shape: ModelShape, id: BoardId) {
  const board: Board = BOARDS[id]
  const blockRams = blockRamsOf(buffersFor(shape, board))
  return {
    board: id,
    name: board.name,
    memory: board.memory,
    lanes: board.lanes,
    batch: board.batch,
    clockMhz: board.clockMhz,
    linkBytesPerSecond: board.linkBytesPerSecond,
    blockRams: { needed: derived(blockRams), available: board.blockRams },
    isInBlockRam: blockRams <= board.blockRams,
    excesses: excessesOf(shape),
    speeds: (['two-bit', 'base-3'] as const).map(packing => speedOf(shape, board, packing)),
  }
}

function speedOf(shape: ModelShape, board: Board, packing: Packing) {
  const ops = opsOfShape(shape, packing)
  const hertz = board.clockMhz.value * 1e6
  const timing = timingOf(board)
  const step = stepCycles(ops, timing)
  const linkSeconds = (2 * BYTES_PER_ELEMENT * shape.hiddenSize + FRAME_BYTES) / board.linkBytesPerSecond
  const seconds = step.total / hertz
  const [bound, share] = boundOf(ops, timing, step, linkSeconds * hertz)
  const wide = widePort(board)
  const wideSeconds = wide === null ? null : stepCycles(ops, wide).total / hertz
  const bytes = imageBytes(ops)
  return {
    packing,
    cyclesPerToken: derived(step.total),
    tokensPerSecond: atClock(1 / seconds, board.clockMhz),
    tokensPerSecondWithLink: atClock(1 / (seconds + linkSeconds), board.clockMhz),
    prefillTokensPerSecond: atClock((board.batch * hertz) / stepCycles(ops, timing, board.batch).total, board.clockMhz),
    bound,
    boundShare: atClock(share, board.clockMhz),
    widePortTokensPerSecond: wideSeconds === null ? null : ({ value: 1 / wideSeconds, tag: 'projected' } as const),
    memoryBytes: { needed: derived(bytes), available: board.memoryBytes },
    isInMemory: bytes <= board.memoryBytes,
  }
}

/** The gateware takes one word of 16 bits a cycle, however fast the memory is. */
function timingOf({ lanes, clockMhz, bandwidth }: Board): DeviceTiming {
  if (bandwidth === null) {
    return { lanes, ...SDR_SDRAM, refreshEvery: Math.floor(REFRESH_MICROSECONDS * clockMhz.value) }
  }
  return { lanes, ...STEADY, wordsPerCycle: Math.min(1, wordsPerCycle(bandwidth, clockMhz)) }
}

/** Page changes and refreshes are in the bandwidth. */
const STEADY = { pageWords: 512, pageChange: 0, refresh: 0, refreshEvery: 1 } as const
const wordsPerCycle = (bandwidth: number, clock: Figure): number => bandwidth / (2e6 * clock.value)

function widePort({ lanes, clockMhz, bandwidth }: Board): DeviceTiming | null {
  if (bandwidth === null || wordsPerCycle(bandwidth, clockMhz) <= 1) return null
  return { lanes, ...STEADY, codeWordsPerCycle: wordsPerCycle(bandwidth, clockMhz) }
}

/** The largest part of a token's time, the link among them. A matrix waits for its codes or for the lanes. */
function boundOf(ops: readonly DeviceOp[], timing: DeviceTiming, step: StepCycles, linkCycles: number) {
  const lanesAlone = stepCycles(ops, { ...timing, codeWordsPerCycle: Number.POSITIVE_INFINITY })
  const areLanesSlower = lanesAlone.rows > 0.99 * step.rows
  const vectors = step.norms + step.inputs + step.state + step.glu
  const parts = {
    memory: step.fetch + step.load + (areLanesSlower ? 0 : step.rows),
    lanes: areLanesSlower ? step.rows : 0,
    'vector-passes': vectors,
    link: linkCycles,
  }
  const [bound, cycles] = (Object.entries(parts) as [keyof typeof parts, number][]).reduce((most, part) =>
    part[1] > most[1] ? part : most,
  )
  return [bound, cycles / (step.total + linkCycles)] as const
}
