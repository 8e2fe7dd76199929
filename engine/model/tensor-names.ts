/**
 * Names of tensors: ours (GGUF, docs/model-format.md) and, only here, the upstream ones of a Hugging Face checkpoint
 * (ridgerchu/matmulfreellm at a016f72).
 */

/** A ternary matrix X is stored as X.weight, X.scale (absmean m, multiplies) and X_in_norm.weight. */
export interface BitLinearNames {
  weight: string
  scale: string
  inNorm: string
}

const bitLinear = (stem: string): BitLinearNames => ({
  weight: `${stem}.weight`,
  scale: `${stem}.scale`,
  inNorm: `${stem}_in_norm.weight`,
})

export interface BlockNames {
  mlgruNorm: string
  mlgruOutNorm: string
  gluNorm: string
  mlgruI: BitLinearNames
  mlgruF: BitLinearNames
  mlgruG: BitLinearNames
  mlgruO: BitLinearNames
  gluGateUp: BitLinearNames
  gluDown: BitLinearNames
}

export const blockNames = (layer: number): BlockNames => ({
  mlgruNorm: `blk.${layer}.mlgru_norm.weight`,
  mlgruOutNorm: `blk.${layer}.mlgru_out_norm.weight`,
  gluNorm: `blk.${layer}.glu_norm.weight`,
  mlgruI: bitLinear(`blk.${layer}.mlgru_i`),
  mlgruF: bitLinear(`blk.${layer}.mlgru_f`),
  mlgruG: bitLinear(`blk.${layer}.mlgru_g`),
  mlgruO: bitLinear(`blk.${layer}.mlgru_o`),
  gluGateUp: bitLinear(`blk.${layer}.glu_gate_up`),
  gluDown: bitLinear(`blk.${layer}.glu_down`),
})

export const MODEL_NAMES = {
  embedding: 'token_embd.weight',
  lowerBounds: 'mlgru_lower_bounds.weight',
  outputNorm: 'output_norm.weight',
  output: bitLinear('output'),
} as const

/** Upstream stems of the ternary matrices: `<stem>.weight` and `<stem>.norm.weight`. */
const upstreamBitLinear = (layer: number): [BitLinearNames, string][] => {
  const ours = blockNames(layer)
  const stem = `model.layers.${layer}`
  return [
    [ours.mlgruI, `${stem}.attn.i_proj`],
    [ours.mlgruF, `${stem}.attn.f_proj`],
    [ours.mlgruG, `${stem}.attn.g_proj`],
    [ours.mlgruO, `${stem}.attn.o_proj`],
    [ours.gluGateUp, `${stem}.mlp.gate_proj`],
    [ours.gluDown, `${stem}.mlp.down_proj`],
  ]
}

export const UPSTREAM = {
  embedding: 'model.embeddings.weight',
  lowerBounds: 'model.lower_bounds',
  outputNorm: 'model.norm.weight',
  head: 'lm_head',
  blockNorms: (layer: number): [ours: string, upstream: string][] => {
    const ours = blockNames(layer)
    const stem = `model.layers.${layer}`
    return [
      [ours.mlgruNorm, `${stem}.attn_norm.weight`],
      [ours.mlgruOutNorm, `${stem}.attn.g_norm.weight`],
      [ours.gluNorm, `${stem}.mlp_norm.weight`],
    ]
  },
  blockBitLinear: upstreamBitLinear,
} as const
