/** What an accelerator board would do with a model, told without one. */
import * as v from 'valibot'
import { bytes, count } from './numbers.ts'

export const ACCELERATOR_BOARDS = ['ulx3s-85f', 'icepi-zero', 'ecpix-5-85f', 'arty-a7-100t', 'kv260', 'u250'] as const

/** Where a figure is from: placed is a tool's report on the placed and routed design, projected needs parts that do not exist yet. */
const figureTag = v.picklist(['placed', 'derived', 'projected', 'assumed'])
const figure = v.object({ value: v.pipe(v.number(), v.minValue(0)), tag: figureTag })
const need = v.object({ needed: figure, available: count })

const acceleratorSpeedSchema = v.object({
  packing: v.picklist(['two-bit', 'base-3']),
  cyclesPerToken: figure,
  /** Of the layers alone; with the line to the host, one after the other. */
  tokensPerSecond: figure,
  tokensPerSecondWithLink: figure,
  /** Of a prompt, as many tokens on one fetch of the weights as the board's batch; without the line. */
  prefillTokensPerSecond: figure,
  /** What takes the longest part of a token, and that part. */
  bound: v.picklist(['memory', 'lanes', 'vector-passes', 'link']),
  boundShare: figure,
  /** With a memory port as wide as the board's memory is fast, which the gateware does not have; null where it would win nothing. */
  widePortTokensPerSecond: v.nullable(figure),
  /** Bytes of the model's image in the board's memory. */
  memoryBytes: need,
  isInMemory: v.boolean(),
})

export const acceleratorEstimateSchema = v.object({
  board: v.picklist(ACCELERATOR_BOARDS),
  name: v.string(),
  memory: v.string(),
  lanes: count,
  batch: count,
  clockMhz: figure,
  linkBytesPerSecond: bytes,
  /** Blocks of 18 kbit for the smallest buffers that hold this model. */
  blockRams: need,
  isInBlockRam: v.boolean(),
  /** What of the model is more than the gateware or its numbers can count; empty: nothing. */
  excesses: v.array(v.string()),
  speeds: v.array(acceleratorSpeedSchema),
})
export type AcceleratorEstimate = v.InferOutput<typeof acceleratorEstimateSchema>
