/**
 * The shaders by name: which op files there are, and which shared parts each is put together with. The one module that
 * knows this list; the host reads the texts (`shaders/<stem>.wgsl`) and hands them to the WebGPU backend. Loads nothing.
 */

/** Shared parts. `residual-*`, `reduce-*`, `row-sum-*` and `dot-*` have one form for each ability of an adapter. */
const SHADER_PARTS = [
  'float',
  'residual-fused',
  'residual-split',
  'exp',
  'ternary',
  'normalize',
  'dispatch',
  'gemv',
  'choice',
  'reduce-workgroup',
  'reduce-subgroups',
  'row-sum-workgroup',
  'row-sum-subgroups',
  'dot-packed',
  'dot-plain',
] as const
type ShaderPart = (typeof SHADER_PARTS)[number]

/** 'residual', 'reduce', 'row-sum' and 'dot' stand for the form that the adapter gets. */
type PartName = Exclude<ShaderPart, `${string}-${string}`> | 'residual' | 'reduce' | 'row-sum' | 'dot'

const FLOAT = ['float', 'residual'] as const
const ROW = [...FLOAT, 'reduce', 'ternary', 'dot', 'normalize'] as const
const GEMV = [...ROW, 'row-sum', 'dispatch', 'gemv'] as const

/** One an op, with the parts it needs. */
export const SHADER_OPS = {
  embedding: [],
  'rms-norm': ROW,
  'norm-quantize': ROW,
  'bitlinear-gemm': [...FLOAT, 'dot', 'dispatch'],
  'bitlinear-gemv': GEMV,
  'mlgru-gates': [...FLOAT, 'exp'],
  mlgru: [...FLOAT, 'exp'],
  'mlgru-output': [...ROW, 'exp'],
  glu: [...FLOAT, 'exp'],
  'mlgru-step': [...GEMV, 'exp'],
  'mlgru-output-step': GEMV,
  'glu-step': [...GEMV, 'exp'],
  'fused-probe': FLOAT,
  'sample-argmax': ['choice'],
  'sample-draw': ['choice'],
} as const satisfies Record<string, readonly PartName[]>
export type ShaderOp = keyof typeof SHADER_OPS

export type ShaderStem = ShaderPart | ShaderOp
export const SHADER_STEMS: readonly ShaderStem[] = [...SHADER_PARTS, ...(Object.keys(SHADER_OPS) as ShaderOp[])]

/** What `shaders/<stem>.wgsl` holds, by stem. */
export type ShaderTexts = Record<ShaderStem, string>
