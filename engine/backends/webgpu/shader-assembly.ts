/**
 * One shader from its parts: constants first, then the shared parts that the adapter gets, then the op. Its bindings are
 * read from the text, so that buffers are bound by the names they have there. Compiles nothing.
 */
import { SHADER_OPS, type ShaderOp, type ShaderStem, type ShaderTexts } from '../../../shaders/index.ts'
import { EngineError } from '../../errors.ts'

/** What of an adapter the kernels use. */
export interface KernelFeatures {
  /** The language feature packed_4x8_integer_dot_product. */
  isPackedDot: boolean
  /** fma rounds once. */
  isFused: boolean
  /** Smallest subgroup that the adapter may choose; 0: no subgroups. */
  subgroupSize: number
  /** About this many workgroups of a decode kernel fill the adapter. */
  workgroups: number
}

/** u32 from whole numbers, bool, and pairs of f32 (high, low) for a float64, named NAME_HIGH and NAME_LOW. */
export type ShaderConstants = Record<string, number | boolean | readonly [high: number, low: number]>

export interface ShaderBinding {
  name: string
  binding: number
  type: 'uniform' | 'read-only-storage' | 'storage'
}

export interface AssembledShader {
  code: string
  bindings: ShaderBinding[]
}

export function assembleShader(
  texts: ShaderTexts,
  op: ShaderOp,
  features: KernelFeatures,
  constants: ShaderConstants,
): AssembledShader {
  const form = features.subgroupSize > 0 ? 'subgroups' : 'workgroup'
  const stems = SHADER_OPS[op].map((part): ShaderStem => {
    if (part === 'residual') return features.isFused ? 'residual-fused' : 'residual-split'
    if (part === 'reduce') return `reduce-${form}`
    if (part === 'row-sum') return `row-sum-${form}`
    if (part === 'dot') return features.isPackedDot ? 'dot-packed' : 'dot-plain'
    return part
  })
  const usesSubgroups = stems.some(stem => stem.endsWith('-subgroups'))
  const body = [...stems, op].map(stem => texts[stem]).join('\n')
  const all = usesSubgroups ? { ...constants, SUBGROUP_SIZE: features.subgroupSize } : constants
  const head = Object.entries(all).map(([name, value]) => declaration(name, value))
  const directives = [
    ...(usesSubgroups ? ['enable subgroups;'] : []),
    ...(stems.includes('dot-packed') ? ['requires packed_4x8_integer_dot_product;'] : []),
  ]
  return { code: [...directives, ...head, body].join('\n'), bindings: bindingsOf(body, op) }
}

function declaration(name: string, value: ShaderConstants[string]): string {
  if (typeof value === 'boolean') return `const ${name}: bool = ${value};`
  if (typeof value === 'number') return `const ${name}: u32 = ${value}u;`
  return `const ${name}_HIGH: f32 = ${value[0]}f;\nconst ${name}_LOW: f32 = ${value[1]}f;`
}

/** A float64 as the sum of two float32: (high, low). */
export function floatPair(value: number): readonly [high: number, low: number] {
  const high = Math.fround(value)
  return [high, Math.fround(value - high)]
}

const BINDING = /@group\(0\) @binding\((\d+)\) var<(uniform|storage, read|storage, read_write)> (\w+):/g
const BINDING_TYPES = {
  uniform: 'uniform',
  'storage, read': 'read-only-storage',
  'storage, read_write': 'storage',
} as const

function bindingsOf(code: string, op: string): ShaderBinding[] {
  const bindings = [...code.matchAll(BINDING)].map(([, binding, type, name]) => ({
    name,
    binding: Number(binding),
    type: BINDING_TYPES[type as keyof typeof BINDING_TYPES],
  }))
  if (new Set(bindings.map(({ binding }) => binding)).size !== bindings.length) {
    throw new EngineError('internal', `The shader "${op}" uses a binding twice.`)
  }
  return bindings
}
