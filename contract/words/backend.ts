/** What computes: one list of backends, what may be asked for, and what there is. */
import * as v from 'valibot'
import { bytes, count } from './numbers.ts'

/** Every backend there is. */
const BACKEND_NAMES = ['reference', 'wasm', 'webgpu', 'fpga'] as const

export const backendChoiceSchema = v.picklist(['auto', ...BACKEND_NAMES])
export type BackendChoice = v.InferOutput<typeof backendChoiceSchema>

/** What computes, and with what: everything but `backend` may be left out. */
export const backendRequestSchema = v.object({
  backend: backendChoiceSchema,
  /** Threads of the CPU. */
  threads: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64))),
  /** 'auto', 'discrete', 'integrated', or a part of a graphics processor's name. */
  adapter: v.optional(v.pipe(v.string(), v.minLength(1))),
  /** What a model may take of its memory; left out: what is free, where the machine says so. */
  gpuMemoryBytes: v.optional(bytes),
})
export type BackendRequest = v.InferOutput<typeof backendRequestSchema>

/** A graphics processor as WebGPU sees it. */
export const gpuAdapterSchema = v.object({
  name: v.string(),
  vendor: v.string(),
  /** The driver's own words. */
  driver: v.string(),
  /** The processor pretending to be a GPU: right and slow. */
  isSoftware: v.boolean(),
  /** WebGPU does not say; known where the system has one for speed and another for long battery life. */
  kind: v.picklist(['software', 'integrated', 'discrete', 'unknown']),
  /** 0: no subgroups. */
  subgroupMinSize: count,
  hasPackedDot: v.boolean(),
  hasTimestamps: v.boolean(),
  maxBufferBytes: bytes,
  maxBindingBytes: bytes,
  maxWorkgroupBytes: bytes,
})
export type GpuAdapter = v.InferOutput<typeof gpuAdapterSchema>

export const backendInfoSchema = v.object({
  name: v.picklist(BACKEND_NAMES),
  /** For people: "relaxed SIMD, 2 threads". */
  description: v.string(),
  kernel: v.string(),
  threads: count,
})
export type BackendInfo = v.InferOutput<typeof backendInfoSchema>
