/**
 * A model as a backend sees it: a configuration and named tensors read on demand. GGUF files give it
 * (formats/gguf.ts); random models for benchmarks give it too. Backends make their own layouts from the bytes.
 */
import type { ModelConfig } from './config.ts'

/** Storage of a tensor. Ternary matrices are TQ1_0 or TQ2_0 with rows padded to multiples of 256 inputs. */
export type TensorType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'TQ1_0' | 'TQ2_0'

export interface TensorInfo {
  name: string
  type: TensorType
  /** Outermost first: [N, K] for a matrix, [K] for a vector. K is the true width as stored (padded for TQ types). */
  shape: number[]
  byteLength: number
}

export interface ModelSource {
  readonly config: ModelConfig
  readonly name: string
  /** Bytes of the whole file. */
  readonly byteLength: number
  tensors(): TensorInfo[]
  /** Throws `tensor-missing`. */
  tensor(name: string): TensorInfo
  /**
   * Raw bytes of a tensor or a part of it; reads exactly what is asked, so large matrices can be streamed. `into`, of that
   * length, may be filled and returned: use what is returned.
   */
  readTensor(name: string, byteOffset?: number, byteLength?: number, into?: Uint8Array): Promise<Uint8Array>
}
