/**
 * What the WebGPU test runs in a real browser: the backend on `navigator.gpu`, held against the reference on a small model.
 * Bundled as one script; the shaders arrive as texts.
 */

import type { OpTable } from '../../engine/backends/ops.ts'
import { createReferenceBackend } from '../../engine/backends/reference/backend.ts'
import { createWebGpuBackend, wantedFeatures, wantedLimits } from '../../engine/backends/webgpu/backend.ts'
import { firstBitDifference } from '../../engine/conformance/compare.ts'
import { differenceFromReference, OP_NAMES, RUNNABLE_CASES } from '../../engine/conformance/run-case.ts'
import type { ShaderTexts } from '../../shaders/index.ts'
import { randomModel } from '../conformance/random-model.ts'
import { decodeOne, readLast } from '../conformance/reading.ts'

export interface PageResult {
  adapter: string
  description: string
  differences: string[]
  tokens: number[]
  /** First differing byte of logits and state, -1: none. */
  logits: number
  state: number
}

/** Cases of each op: the whole table takes a software adapter minutes. */
const CASES = 6
const PROMPT = [5, 9, 2, 77, 41, 96, 0, 13, 60]

export async function runInPage(shaders: ShaderTexts): Promise<PageResult> {
  const adapter = await navigator.gpu.requestAdapter()
  if (adapter === null) throw new Error('no adapter')
  const device = await adapter.requestDevice({
    requiredFeatures: wantedFeatures(adapter),
    requiredLimits: wantedLimits(adapter),
  })
  const { info } = adapter
  const backend = await createWebGpuBackend({
    device,
    adapterName: info.description || info.architecture || info.vendor,
    subgroupMinSize: info.subgroupMinSize ?? 0,
    isFallbackAdapter: true,
    isPackedDot: navigator.gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product'),
    shaders,
  })
  const differences: string[] = []
  for (const op of OP_NAMES) {
    for (const opCase of RUNNABLE_CASES[op].slice(0, CASES)) {
      const difference = await differenceFromReference(opCase, backend.ops as OpTable, 'flushes-denormals')
      if (difference !== null) differences.push(`${opCase.name}: ${difference}`)
    }
  }
  const model = randomModel({ seed: 0xb0b })
  const runner = await backend.load(model)
  const reference = await createReferenceBackend().load(model)
  const [state, expectedState] = [await runner.createState(), await reference.createState()]
  const logits = await readLast(runner, state, PROMPT)
  const expectedLogits = await readLast(reference, expectedState, PROMPT)
  const tokens: number[] = []
  await runner.decodeAhead!(state, logits, {
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, penalties: null, seed: 0, drawn: 0 },
    maxTokens: 12,
    onToken: token => {
      tokens.push(token)
      return 'feed'
    },
  })
  for (const token of tokens.slice(0, -1)) await decodeOne(reference, expectedState, token)
  const result = {
    adapter: `${info.vendor} ${info.architecture}`,
    description: backend.info.description,
    differences,
    tokens,
    logits: firstBitDifference(logits, expectedLogits),
    state: firstBitDifference(
      (await runner.exportState(state)).values,
      (await reference.exportState(expectedState)).values,
    ),
  }
  await backend.dispose()
  return result
}
