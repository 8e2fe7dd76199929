/** The constants that kernels are compiled with: sizes of the model, and how work is spread over lanes. */

import { BITLINEAR_EPSILON } from '../ops.ts'
import { floatPair, type KernelFeatures, type ShaderConstants } from './shader-assembly.ts'

export const WORKGROUP_SIZE = 256
/** Slots of the ring of recurrent states: tokens that may be on their way, and the one that is kept. */
export const RING = 16
/** Rows of activations and norms are padded with zeros to whole 256-blocks, as ternary rows are. */
export const padded = (columns: number): number => 256 * Math.ceil(columns / 256)
/** 32-bit words of a ternary row. */
export const rowWords = (columns: number): number => padded(columns) / 16

/** Kernels that hold a row of K inputs in registers. */
export const rowConstants = (columns: number, modelEpsilon: number): ShaderConstants => ({
  WORKGROUP_SIZE,
  K: columns,
  MODEL_EPSILON: floatPair(modelEpsilon),
  BITLINEAR_EPSILON: floatPair(BITLINEAR_EPSILON),
})

export interface GemvShape {
  /** Lanes that share a row. */
  rowLanes: number
  /** Rows that a lane works on at once: their codes are in registers. */
  rows: number
  /** How often it does so. */
  batches: number
}

/** Measured on an H200: with 32, half the lanes wait in sums of short rows; with 8, long rows leave cores without work. */
const MAX_ROW_LANES = 16
/** Words of codes that a lane holds at once. */
const HELD_WORDS = 36

/** `planes` matrices of [rows, columns] at once. */
export function gemvShape(features: KernelFeatures, rows: number, columns: number, planes: number): GemvShape {
  const words = rowWords(columns)
  const rowLanes = Math.min(features.subgroupSize > 0 ? Math.min(MAX_ROW_LANES, features.subgroupSize) : 8, words)
  const slots = WORKGROUP_SIZE / rowLanes
  // Each workgroup computes the norms anew: no more of them than keep the adapter busy.
  const rowsOfLane = Math.max(1, Math.round(rows / slots / features.workgroups))
  const wordsPerLane = Math.ceil(words / rowLanes)
  const rowsAtOnce = Math.min(rowsOfLane, rowLanes, Math.max(1, Math.floor(HELD_WORDS / wordsPerLane / planes)))
  return { rowLanes, rows: rowsAtOnce, batches: Math.ceil(rowsOfLane / rowsAtOnce) }
}

export const gemvConstants = (shape: GemvShape, columns: number, modelEpsilon: number): ShaderConstants => ({
  ...rowConstants(columns, modelEpsilon),
  ROW_LANES: shape.rowLanes,
  ROWS: shape.rows,
  BATCHES: shape.batches,
})

/** Workgroups for `segmentRows` rows. */
export const gemvGroups = (shape: GemvShape, segmentRows: number): number =>
  Math.ceil(segmentRows / ((WORKGROUP_SIZE / shape.rowLanes) * shape.rows * shape.batches))

/** A workgroup of 16 x 16 lanes computes 16 times as many rows and tokens. */
export interface GemmShape {
  rowsPerLane: number
  tokensPerLane: number
}

/**
 * `planes` matrices of `rows` with so many tokens: the largest tile that still gives every core something to do. Larger ones
 * than these (8 x 8) run slower on an H200: their sums do not stay in registers.
 */
export function gemmShape(features: KernelFeatures, rows: number, tokens: number, planes: number): GemmShape {
  const shapes: GemmShape[] = [
    { rowsPerLane: 8, tokensPerLane: 4 },
    { rowsPerLane: 4, tokensPerLane: 4 },
    { rowsPerLane: 4, tokensPerLane: 2 },
  ]
  const workgroups = (shape: GemmShape): number => gemmGroups(shape, rows, tokens, planes).reduce((a, b) => a * b)
  const fits = shapes.find(shape => 16 * shape.tokensPerLane <= tokens && workgroups(shape) >= features.workgroups / 2)
  return fits ?? { rowsPerLane: 4, tokensPerLane: tokens > 16 ? 2 : 1 }
}

export const gemmConstants = ({ rowsPerLane, tokensPerLane }: GemmShape): ShaderConstants => ({
  ROWS_PER_LANE: rowsPerLane,
  TOKENS_PER_LANE: tokensPerLane,
})

export const gemmGroups = (
  { rowsPerLane, tokensPerLane }: GemmShape,
  rows: number,
  tokens: number,
  planes: number,
): [number, number, number] => [Math.ceil(rows / (16 * rowsPerLane)), Math.ceil(tokens / (16 * tokensPerLane)), planes]

/** What the GEMM does with its sums. */
export const EPILOGUE = { integers: 0, store: 1, add: 2 } as const

/** Bytes of workgroup memory of a decode kernel, reductions included. */
export const gemvWorkgroupBytes = (columns: number, planes: number): number =>
  padded(columns) * planes + WORKGROUP_SIZE * (16 + 16 + 16)
