/** The scripted device (engine/conformance/scripted-device.ts) with a model file around it, and ways to look into states. */
import {
  createScriptedBackend,
  type ScriptedBackend,
  type ScriptedOptions,
} from '../../engine/conformance/scripted-device.ts'
import { type LoadedModel, loadModel } from '../../engine/engine.ts'
import type { GgufModel } from '../../engine/formats/gguf.ts'
import type { ModelConfig } from '../../engine/model/config.ts'
import { blockTensors } from '../../engine/model/tensors.ts'
import { nodeEngineEnvironment } from '../../main/engine-process/engine-environment.ts'
import { randomModel } from './random-model.ts'
import { BOS, END, EOS, TINY_CHAT_TEMPLATE, TINY_TOKENIZER_JSON, TINY_VOCABULARY_SIZE } from './tiny-tokenizer.ts'

export { createScriptedBackend, type ScriptedBackend }

/** Room for the list of tokens: value 0 is its length. */
const STATE_WIDTH = 512

const SCRIPTED_CONFIG: Partial<ModelConfig> = {
  vocabularySize: TINY_VOCABULARY_SIZE,
  hiddenSize: 4,
  stateWidth: STATE_WIDTH,
  layerCount: 1,
  intermediateSize: 4,
  useLowerBound: false,
  bosTokenId: BOS,
  eosTokenIds: [EOS, END],
}

export const scriptedModelFile = (
  changes: { seed?: number; chatTemplate?: null; tokenizerJson?: string | null } = {},
): GgufModel => ({
  ...withLargeStates(randomModel({ seed: changes.seed ?? 1, config: SCRIPTED_CONFIG })),
  tokenizerJson: changes.tokenizerJson === undefined ? TINY_TOKENIZER_JSON : changes.tokenizerJson,
  chatTemplate: changes.chatTemplate === null ? null : TINY_CHAT_TEMPLATE,
})

/** The scripted device keeps token ids in its state: the model's weights must allow numbers of that size. */
const withLargeStates = (model: GgufModel): GgufModel => ({
  ...model,
  readTensor: async (name, ...part) =>
    name === blockTensors(model.config, 0).mlgruI.scale
      ? new Uint8Array(Float32Array.of(1e6).buffer)
      : await model.readTensor(name, ...part),
})

export interface ScriptedRig {
  backend: ScriptedBackend
  model: LoadedModel
}

/** The model on a scripted backend. */
export async function scriptedRig(options: ScriptedOptions = {}): Promise<ScriptedRig> {
  const backend = createScriptedBackend(options)
  return { backend, model: await loadModel(scriptedModelFile(), backend, nodeEngineEnvironment) }
}

/** Wants these tokens once the state has read `promptTokens`, and the end of the turn after them. */
export function reply(promptTokens: number, tokens: readonly number[]): (fed: readonly number[]) => number {
  return fed => tokens[fed.length - promptTokens] ?? EOS
}

/** The tokens that a session's state has read. */
export async function tokensRead(session: { serialize(): Promise<Uint8Array> }): Promise<number[]> {
  const file = await session.serialize()
  const header = new DataView(file.buffer, file.byteOffset).getUint32(12, true)
  const values = new Float32Array(file.slice(16 + header, 16 + header + 4 * STATE_WIDTH).buffer)
  return Array.from(values.subarray(1, 1 + values[0]))
}
