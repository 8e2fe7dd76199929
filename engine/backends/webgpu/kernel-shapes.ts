/** The constants that kernels are compiled with: sizes of the model, and how work is spread over lanes. */
import type { ShaderConstants } from './shader-assembly.ts'
import { floatPair } from './shader-assembly.ts'

export const WORKGROUP_SIZE = 256
/** Slots of the ring of recurrent states: tokens that may be on their way, and the one that is kept. */
export const RING = 16
export const GEMM_TILE = { rowsPerLane: 4, tokensPerLane: 4 } as const
/** Not the model's rms_norm_eps: the published fused function always runs with this one. */
const BITLINEAR_EPSILON = 1e-6

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
  /** Rows a lane works on. */
  rows: number
}

/** About this many workgroups: a few for each core of a large GPU. Each computes the norms anew, so no more than that. */
const GOAL_WORKGROUPS = 300

export function gemvShape(rows: number, columns: number): GemvShape {
  const rowLanes = Math.min(32, rowWords(columns))
  const slots = WORKGROUP_SIZE / rowLanes
  return { rowLanes, rows: Math.max(1, Math.min(8, Math.round(rows / slots / GOAL_WORKGROUPS))) }
}

export const gemvConstants = (rows: number, columns: number, modelEpsilon: number): ShaderConstants => {
  const shape = gemvShape(rows, columns)
  return { ...rowConstants(columns, modelEpsilon), ROW_LANES: shape.rowLanes, ROWS: shape.rows }
}

export const gemvGroups = (segmentRows: number, rows: number, columns: number): number => {
  const shape = gemvShape(rows, columns)
  return Math.ceil(segmentRows / ((WORKGROUP_SIZE / shape.rowLanes) * shape.rows))
}

export const gemmGroups = (rows: number, tokens: number, planes: number): [number, number, number] => [
  Math.ceil(rows / (16 * GEMM_TILE.rowsPerLane)),
  Math.ceil(tokens / (16 * GEMM_TILE.tokensPerLane)),
  planes,
]

export const GEMM_CONSTANTS: ShaderConstants = {
  ROWS_PER_LANE: GEMM_TILE.rowsPerLane,
  TOKENS_PER_LANE: GEMM_TILE.tokensPerLane,
}
/** What the GEMM does with its sums. */
export const EPILOGUE = { integers: 0, store: 1, add: 2 } as const

/** Bytes of workgroup memory of a decode kernel, reductions included. */
export function gemvWorkgroupBytes(columns: number, planes: number): number {
  const words = rowWords(columns)
  return words * planes * 20 + WORKGROUP_SIZE * (8 + 16 + 16)
}
