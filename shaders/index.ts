/**
 * The shaders by name: which op files there are, and which shared parts each is put together with. The one module that
 * knows this list; the host reads the texts (`shaders/<stem>.wgsl`) and hands them to the WebGPU backend. Loads nothing.
 */

/** Shared parts. `reduce-*`, `row-sum-*` and `dot-*` have one form for each ability of an adapter. */
export const SHADER_PARTS = [
  'float',
  'exp',
  'ternary',
  'normalize',
  'gemv',
  'reduce-workgroup',
  'reduce-subgroups',
  'row-sum-workgroup',
  'row-sum-subgroups',
  'dot-packed',
  'dot-plain',
] as const
export type ShaderPart = (typeof SHADER_PARTS)[number]

/** 'reduce', 'row-sum' and 'dot' stand for the form that the adapter gets. */
type PartName = Exclude<ShaderPart, `${string}-${string}`> | 'reduce' | 'row-sum' | 'dot'

const ROW = ['float', 'reduce', 'ternary', 'dot', 'normalize'] as const
const GEMV = [...ROW, 'row-sum', 'gemv'] as const

/** One an op, with the parts it needs. */
export const SHADER_OPS = {
  embedding: [],
  'rms-norm': ROW,
  'norm-quantize': ROW,
  'bitlinear-gemm': ['float', 'dot'],
  'bitlinear-gemv': GEMV,
  'mlgru-gates': ['float', 'exp'],
  mlgru: ['float', 'exp'],
  'mlgru-output': [...ROW, 'exp'],
  glu: ['float', 'exp'],
  'mlgru-step': [...GEMV, 'exp'],
  'mlgru-output-step': GEMV,
  'glu-step': [...GEMV, 'exp'],
  'sample-argmax': [],
  'sample-top-k': [],
} as const satisfies Record<string, readonly PartName[]>
export type ShaderOp = keyof typeof SHADER_OPS

export type ShaderStem = ShaderPart | ShaderOp
export const SHADER_STEMS: readonly ShaderStem[] = [...SHADER_PARTS, ...(Object.keys(SHADER_OPS) as ShaderOp[])]

/** What `shaders/<stem>.wgsl` holds, by stem. */
export type ShaderTexts = Record<ShaderStem, string>
