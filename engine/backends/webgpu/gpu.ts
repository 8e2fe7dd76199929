/// <reference types="@webgpu/types" />
/**
 * A WebGPU device as the backend uses it: counted buffers, compiled kernels by name and constants, errors that become
 * typed and stay. Knows no model.
 */
import type { ShaderOp, ShaderTexts } from '../../../shaders/index.ts'
import { EngineError } from '../../errors.ts'
import { assembleShader, type KernelFeatures, type ShaderBinding, type ShaderConstants } from './shader-assembly.ts'

/** The values of GPUBufferUsage and GPUMapMode: as globals they exist in browsers only. */
export const USAGE = {
  mapRead: 0x1,
  copySrc: 0x4,
  copyDst: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queryResolve: 0x200,
} as const
export const STORAGE = USAGE.storage | USAGE.copySrc | USAGE.copyDst
const MAP_MODE_READ = 1
const STAGE_COMPUTE = 4

/** A whole buffer, or a part of it that starts at a multiple of 256 bytes. */
export type Binding = GPUBuffer | { buffer: GPUBuffer; offset: number; size?: number }

export class Kernel {
  readonly op: ShaderOp
  readonly pipeline: GPUComputePipeline
  private readonly device: GPUDevice
  private readonly layout: GPUBindGroupLayout
  private readonly bindings: ShaderBinding[]

  constructor(
    device: GPUDevice,
    op: ShaderOp,
    pipeline: GPUComputePipeline,
    layout: GPUBindGroupLayout,
    bindings: ShaderBinding[],
  ) {
    this.device = device
    this.op = op
    this.pipeline = pipeline
    this.layout = layout
    this.bindings = bindings
  }

  /** Buffers by their names in the shader. Throws `internal` when one is missing or too many. */
  bind(buffers: Record<string, Binding>): GPUBindGroup {
    const missing = this.bindings.filter(({ name }) => !(name in buffers)).map(({ name }) => name)
    if (missing.length > 0 || Object.keys(buffers).length !== this.bindings.length) {
      throw new EngineError('internal', `The kernel "${this.op}" was bound wrongly.`, {
        expected: this.bindings.map(({ name }) => name).join(', '),
        actual: Object.keys(buffers).join(', '),
      })
    }
    return this.device.createBindGroup({
      label: this.op,
      layout: this.layout,
      entries: this.bindings.map(({ name, binding }) => {
        const bound = buffers[name]
        return { binding, resource: 'buffer' in bound ? bound : { buffer: bound } }
      }),
    })
  }
}

/** One dispatch of a prepared command list. */
export interface Command {
  kernel: Kernel
  bindGroup: GPUBindGroup
  groups: readonly [x: number, y: number, z: number]
}

/** What is used of a device at most, when less than what it has. */
export interface GpuLimits {
  maximumBindingBytes: number
  maximumWorkgroupBytes: number
}

export class Gpu {
  readonly device: GPUDevice
  readonly features: KernelFeatures
  /** Never more than this in one binding; smaller than the device's limit in tests of split matrices. */
  readonly maximumBindingBytes: number
  /** Of workgroup memory, likewise. */
  readonly maximumWorkgroupBytes: number
  private readonly texts: ShaderTexts
  private readonly kernels = new Map<string, Promise<Kernel>>()
  private firstFailure: EngineError | null = null

  constructor(device: GPUDevice, texts: ShaderTexts, features: KernelFeatures, limits: GpuLimits) {
    this.device = device
    this.texts = texts
    this.features = features
    const { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupStorageSize } = device.limits
    this.maximumBindingBytes = Math.min(limits.maximumBindingBytes, maxStorageBufferBindingSize, maxBufferSize)
    this.maximumWorkgroupBytes = Math.min(limits.maximumWorkgroupBytes, maxComputeWorkgroupStorageSize)
    void device.lost.then(({ reason, message }) => {
      this.fail(
        new EngineError('device-lost', 'The graphics processor was lost.', {
          actual: message || reason,
          remedy: 'Load the model again; if it happens again, update the graphics driver or use the CPU.',
        }),
      )
    })
    device.onuncapturederror = ({ error }) => this.fail(engineError(error))
  }

  /** The same device with other kernels, for the self-test to choose from. */
  withFeatures(features: KernelFeatures): Gpu {
    return new Gpu(this.device, this.texts, features, this)
  }

  /** What made the device unusable. */
  get failure(): EngineError | null {
    return this.firstFailure
  }

  /** Throws `failure`. */
  checkAlive(): void {
    if (this.firstFailure !== null) throw this.firstFailure
  }

  /** The first failure stays: what follows is its consequence. */
  private fail(error: EngineError): void {
    this.firstFailure ??= error
  }

  /** Awaits something of the device; what made it unusable meanwhile is thrown instead of its result. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await promise
      this.checkAlive()
      return value
    } catch (error) {
      this.checkAlive()
      throw error instanceof EngineError ? error : engineError(error)
    }
  }

  /** Awaits submitted work. It is refused only by a device that is lost, sometimes before the device says so. */
  private async worked<T>(promise: Promise<T>): Promise<T> {
    try {
      return await this.settled(promise)
    } catch (error) {
      this.fail(engineError(error))
      throw this.firstFailure
    }
  }

  /** Waits until all submitted work is done. */
  async idle(): Promise<void> {
    await this.worked(this.device.queue.onSubmittedWorkDone())
  }

  /** Runs work whose errors the device reports later: throws `out-of-memory` or `backend-failed` when it does. */
  async checked<T>(work: () => T | Promise<T>): Promise<T> {
    for (const filter of ['validation', 'out-of-memory', 'internal'] as const) this.device.pushErrorScope(filter)
    let value: T | undefined
    let thrown: unknown = null
    try {
      value = await work()
    } catch (error) {
      thrown = error
    }
    const errors = await this.settled(Promise.all([1, 2, 3].map(() => this.device.popErrorScope())))
    const error = errors.find(error => error !== null)
    if (error) throw engineError(error)
    if (thrown !== null) throw thrown
    return value as T
  }

  /** A zeroed buffer of a multiple of four bytes, at least 16. */
  buffer(label: string, bytes: number, usage: number = STORAGE): GPUBuffer {
    this.checkAlive()
    return this.device.createBuffer({ label, size: Math.max(16, Math.ceil(bytes / 4) * 4), usage })
  }

  /** A buffer that holds `data` at its start. */
  bufferOf(
    label: string,
    data: Float32Array | Uint32Array | Int32Array,
    bytes = data.byteLength,
    usage?: number,
  ): GPUBuffer {
    const buffer = this.buffer(label, Math.max(bytes, data.byteLength), usage)
    this.write(buffer, 0, data)
    return buffer
  }

  /** Copies in; a multiple of four bytes. */
  write(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void {
    this.device.queue.writeBuffer(buffer, offset, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
  }

  /** Compiled once for each op and set of constants. Throws `backend-failed` with the compiler's messages. */
  kernel(op: ShaderOp, constants: ShaderConstants): Promise<Kernel> {
    const key = `${op} ${JSON.stringify(constants)}`
    let kernel = this.kernels.get(key)
    if (kernel === undefined) {
      kernel = this.compile(op, constants)
      this.kernels.set(key, kernel)
    }
    return kernel
  }

  private async compile(op: ShaderOp, constants: ShaderConstants): Promise<Kernel> {
    const { device } = this
    const { code, bindings } = assembleShader(this.texts, op, this.features, constants)
    const module = device.createShaderModule({ label: op, code })
    const { messages } = await this.settled(module.getCompilationInfo())
    const errors = messages.filter(({ type }) => type === 'error')
    if (errors.length > 0) {
      const text = errors.map(
        ({ lineNum, message }) => `line ${lineNum} "${code.split('\n')[lineNum - 1]}": ${message}`,
      )
      throw new EngineError('backend-failed', `The shader "${op}" does not compile.`, {
        actual: text.join('\n'),
        remedy: 'Update the graphics driver, or use the CPU.',
      })
    }
    const layout = device.createBindGroupLayout({
      label: op,
      entries: bindings.map(({ binding, type }) => ({ binding, visibility: STAGE_COMPUTE, buffer: { type } })),
    })
    const pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [layout] })
    const pipeline = await this.settled(
      device.createComputePipelineAsync({ label: op, layout: pipelineLayout, compute: { module, entryPoint: 'main' } }),
    )
    return new Kernel(device, op, pipeline, layout, bindings)
  }

  /** Records commands into one pass. Each sees what those before it wrote. */
  encode(
    encoder: GPUCommandEncoder,
    commands: readonly Command[],
    timestampWrites?: GPUComputePassTimestampWrites,
  ): void {
    const pass = encoder.beginComputePass(timestampWrites === undefined ? undefined : { timestampWrites })
    for (const { kernel, bindGroup, groups } of commands) {
      pass.setPipeline(kernel.pipeline)
      pass.setBindGroup(0, bindGroup)
      pass.dispatchWorkgroups(...groups)
    }
    pass.end()
  }

  submit(encoder: GPUCommandEncoder): void {
    this.checkAlive()
    this.device.queue.submit([encoder.finish()])
  }

  /** A buffer to read results from on this side. */
  stagingBuffer(bytes: number): GPUBuffer {
    return this.buffer('staging', bytes, USAGE.mapRead | USAGE.copyDst)
  }

  /** Copies out what was copied to a staging buffer, when the device has come so far. */
  async readStaging(staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    await this.worked(staging.mapAsync(MAP_MODE_READ, 0, bytes))
    try {
      return staging.getMappedRange(0, bytes).slice(0)
    } catch (error) {
      // A runtime that allows no buffers from outside its heap: nothing can ever be read.
      this.fail(engineError(error))
      throw this.firstFailure
    } finally {
      staging.unmap()
    }
  }

  /** Copies a buffer out. */
  async read(buffer: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    const staging = this.stagingBuffer(bytes)
    try {
      const encoder = this.device.createCommandEncoder()
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, bytes)
      this.submit(encoder)
      return await this.readStaging(staging, bytes)
    } finally {
      staging.destroy()
    }
  }
}

/** The device's own errors, as ours. */
function engineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error
  const message = error instanceof Error || hasMessage(error) ? error.message : String(error)
  if (/out.?of.?memory/i.test(`${nameOf(error)} ${message}`)) {
    return new EngineError('out-of-memory', 'The graphics processor has not enough memory.', {
      actual: message,
      remedy: 'Close other programs that use it, choose a smaller model, or use the CPU.',
      cause: error,
    })
  }
  return new EngineError('backend-failed', 'The graphics processor reported an error.', {
    actual: message,
    remedy: 'Update the graphics driver, or use the CPU.',
    cause: error,
  })
}

const hasMessage = (error: unknown): error is { message: string } =>
  typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string'
const nameOf = (error: unknown): string =>
  typeof error === 'object' && error !== null ? `${error.constructor?.name ?? ''}` : ''
