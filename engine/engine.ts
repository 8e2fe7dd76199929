/**
 * The engine's front door: a model file and a backend become a loaded model, which gives sessions. Backends, files,
 * clocks and hashes are made by the host and passed in; the engine process is the only host in the app.
 */
import type { Backend, BackendInfo, LoadOptions, PrefillOptions, Runner, RunnerMemory } from './backends/backend.ts'
import { DecodeQueue } from './decode-queue.ts'
import { cancelled, EngineError } from './errors.ts'
import type { GgufModel } from './formats/gguf.ts'
import type { CancelSignal, Clock, CreateSha256, YieldToHost } from './host.ts'
import { stateBytes } from './model/config.ts'
import { checkTokenIds } from './model/token-ids.ts'
import { causeOf, type ModelEventListener, ModelEvents } from './model-events.ts'
import { MovableRunner, type Recover } from './movable-runner.ts'
import { RecurrentSession, type Session, type SessionContext } from './session.ts'
import { hashModel, hashTokenizer, type ModelIdentity } from './state/identity.ts'
import { readStateFile, writeStateFile } from './state/state-file.ts'
import { type ChatTemplate, compileChatTemplate, PLAIN_CHAT_TEMPLATE } from './tokenizer/chat-template.ts'
import { createTokenizer, type Tokenizer } from './tokenizer/tokenizer.ts'

export interface EngineHost {
  clock: Clock
  yieldToHost: YieldToHost
  createSha256: CreateSha256
}

export interface EvaluateOptions {
  /** Logits [tokenCount, V] from `firstToken` on, in order; a view that is only valid until the callback's end. */
  onLogits?: PrefillOptions['onLogits']
  onProgress?(tokensDone: number, tokensTotal: number): void
  signal?: CancelSignal
}

export interface Evaluation {
  tokens: number
  /** Mean over the T - 1 predicted tokens; null for a single token. */
  lossNats: number | null
}

export interface LoadedModel {
  readonly file: GgufModel
  /** Where the sessions are now: changes when a device is lost, and by `moveTo`. */
  readonly backend: BackendInfo
  /** null: the file carries none, only token ids can be read. */
  readonly tokenizer: Tokenizer | null
  /** null: a base model; conversations are rendered as plain text. */
  readonly template: ChatTemplate | null
  readonly loadMs: number
  createSession(): Session
  /**
   * A session from a state file. Throws `state-corrupt`, `state-mismatch`. The first state written or read hashes the
   * whole model once, about a second per gigabyte.
   */
  importSession(bytes: Uint8Array): Promise<Session>
  /** Next-token loss of exactly these tokens in an empty sequence. Throws `invalid-argument`, `cancelled`. */
  evaluate(tokens: readonly number[], options?: EvaluateOptions): Promise<Evaluation>
  memory(): RunnerMemory & { sessionCount: number; stateBytesPerSession: number }
  /**
   * Loads the model on another backend and takes all sessions there, between two runner calls of a reply in progress.
   * Throws what loading throws: then nothing has changed. The backend before it is the caller's to dispose.
   */
  moveTo(backend: Backend, options?: LoadOptions): Promise<void>
  /** Told of every move and of the backend's end, whether a reply runs or not. Returns a function that ends that. */
  onEvent(listener: ModelEventListener): () => void
  /** Ends all sessions and frees the weights. The file and the backend stay the caller's. */
  dispose(): Promise<void>
}

export interface LoadModelOptions extends LoadOptions {
  /** Where sessions go on when the backend's device is lost, from their last state; left out: they fail. */
  recover?: Recover
}

/**
 * Makes a backend's layout of the weights and reads tokenizer and template.
 * Throws `tokenizer-*`, `template-*`, `tensor-*`, `out-of-memory`, `backend-*`, `cancelled`.
 */
export async function loadModel(
  file: GgufModel,
  backend: Backend,
  host: EngineHost,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  const startMs = host.clock.nowMs()
  const { vocabularySize } = file.config
  const tokenizer =
    file.tokenizerJson === null ? null : createTokenizer(parseJson(file.tokenizerJson), { vocabularySize })
  const template = file.chatTemplate === null ? null : compileChatTemplate(file.chatTemplate)
  const runner = await backend.load(file, options)
  const loadMs = host.clock.nowMs() - startMs
  return new Model({ file, backend: backend.info, tokenizer, template, loadMs }, runner, options.recover ?? null, host)
}

class Model implements LoadedModel {
  readonly file: GgufModel
  backend: BackendInfo
  readonly tokenizer: Tokenizer | null
  readonly template: ChatTemplate | null
  readonly loadMs: number
  private readonly runner: MovableRunner
  private readonly host: EngineHost
  private readonly events = new ModelEvents()
  private readonly sessions = new Set<RecurrentSession>()
  private readonly evaluations = new Set<Promise<Evaluation>>()
  private readonly context: SessionContext
  /** The last piece of work that was given the runner. */
  private turn: Promise<void> = Promise.resolve()
  /** Pieces of work that wait for it. */
  private waiting = 0
  private identity: Promise<ModelIdentity> | null = null
  private isDisposed = false

  constructor(
    loaded: Pick<LoadedModel, 'file' | 'backend' | 'tokenizer' | 'template' | 'loadMs'>,
    runner: Runner,
    recover: Recover | null,
    host: EngineHost,
  ) {
    this.file = loaded.file
    this.backend = loaded.backend
    this.tokenizer = loaded.tokenizer
    this.template = loaded.template
    this.loadMs = loaded.loadMs
    this.runner = new MovableRunner(runner, loaded.file, {
      recover,
      onRecovering: failure => this.events.tell({ kind: 'moving', cause: causeOf(failure) }),
      onRecovered: (backend, failure) => {
        this.backend = backend.info
        this.events.tell({ kind: 'moved', cause: causeOf(failure), backend: backend.info, failure, exact: true })
      },
    })
    this.host = host
    this.context = {
      config: loaded.file.config,
      runner: this.runner,
      tokenizer: loaded.tokenizer,
      template: loaded.template ?? compileChatTemplate(PLAIN_CHAT_TEMPLATE),
      clock: host.clock,
      yieldToHost: host.yieldToHost,
      exclusive: work => this.exclusive(work),
      othersWait: () => this.waiting > 0,
      decodeQueue: new DecodeQueue(this.runner, work => this.exclusive(work), host.yieldToHost),
      writeState: async snapshot =>
        writeStateFile(snapshot, this.file.name, await this.identify(), this.file.config, this.host.createSha256),
      added: session => this.sessions.add(session),
      removed: session => this.sessions.delete(session),
    }
  }

  createSession(): Session {
    if (this.isDisposed) throw notLoaded()
    return new RecurrentSession(this.context)
  }

  async importSession(bytes: Uint8Array): Promise<Session> {
    const { config } = this.file
    const snapshot = readStateFile(bytes, await this.identify(), config, this.host.createSha256)
    if (snapshot.tokenCount === 0) return new RecurrentSession(this.context, null, snapshot)
    const state = await this.exclusive(async () => {
      const state = this.runner.createState()
      await this.runner.importState(state, snapshot.recurrent)
      return state
    })
    return new RecurrentSession(this.context, state, snapshot)
  }

  async evaluate(tokens: readonly number[], options: EvaluateOptions = {}): Promise<Evaluation> {
    checkTokenIds(tokens, this.file.config.vocabularySize)
    if (tokens.length === 0) {
      throw new EngineError('invalid-argument', 'There is nothing to evaluate.', { expected: 'at least one token' })
    }
    const evaluation = this.runEvaluation(tokens, options)
    this.evaluations.add(evaluation)
    try {
      return await evaluation
    } finally {
      this.evaluations.delete(evaluation)
    }
  }

  memory(): RunnerMemory & { sessionCount: number; stateBytesPerSession: number } {
    const stateBytesPerSession = stateBytes(this.file.config)
    return { ...this.runner.memory(), sessionCount: this.sessions.size, stateBytesPerSession }
  }

  async moveTo(backend: Backend, options: LoadOptions = {}): Promise<void> {
    const runner = await backend.load(this.file, options)
    try {
      await this.exclusive(async () => {
        this.events.tell({ kind: 'moving', cause: 'asked' })
        await this.runner.moveTo(runner)
        this.backend = backend.info
        this.events.tell({ kind: 'moved', cause: 'asked', backend: backend.info, failure: null, exact: true })
      })
    } catch (error) {
      await runner.dispose()
      throw error
    }
  }

  onEvent(listener: ModelEventListener): () => void {
    return this.events.onEvent(listener)
  }

  async dispose(): Promise<void> {
    if (this.isDisposed) return
    this.isDisposed = true
    const sessions = [...this.sessions]
    for (const session of sessions) session.dispose()
    await Promise.allSettled([...sessions.map(session => session.idle()), ...this.evaluations, this.turn])
    await this.runner.dispose()
  }

  /** Runs alone on the runner, in the order of asking. */
  private async exclusive<T>(work: () => T | Promise<T>): Promise<T> {
    const before = this.turn
    let end = (): void => {}
    this.turn = new Promise(resolve => {
      end = resolve
    })
    this.waiting++
    await before
    this.waiting--
    try {
      if (this.isDisposed) throw notLoaded()
      return await work()
    } catch (error) {
      const { failure } = this.runner
      if (failure !== null && error === failure) this.events.tell({ kind: 'failed', error: failure })
      throw error
    } finally {
      end()
    }
  }

  /** Computed once, when first needed; a failed read is tried again. */
  private identify(): Promise<ModelIdentity> {
    this.identity ??= this.computeIdentity().catch((error: unknown) => {
      this.identity = null
      throw error
    })
    return this.identity
  }

  private async computeIdentity(): Promise<ModelIdentity> {
    const { file, host } = this
    return {
      modelSha256: await hashModel(file, host.createSha256),
      tokenizerSha256: file.tokenizerJson === null ? null : hashTokenizer(file.tokenizerJson, host.createSha256),
    }
  }

  /** In slices, so that sessions can go on meanwhile. */
  private async runEvaluation(tokens: readonly number[], options: EvaluateOptions): Promise<Evaluation> {
    const { runner } = this
    const state = await this.exclusive(() => runner.createState())
    const isDisposed = (): boolean => this.isDisposed
    const signal = {
      get aborted() {
        return isDisposed() || (options.signal?.aborted ?? false)
      },
    }
    let totalNats = 0
    try {
      for (let first = 0; first < tokens.length; first += EVALUATE_SLICE_TOKENS) {
        if (signal.aborted) throw cancelled()
        const slice = tokens.slice(first, first + EVALUATE_SLICE_TOKENS)
        await this.exclusive(() =>
          runner.prefill(state, slice, {
            logits: 'all',
            signal,
            onLogits: async (logits, from, count) => {
              totalNats += lossSumNats(logits, count, tokens, first + from + 1)
              await options.onLogits?.(logits, first + from, count)
            },
            onProgress: async done => {
              options.onProgress?.(first + done, tokens.length)
              await this.host.yieldToHost()
            },
          }),
        )
      }
    } finally {
      runner.disposeState(state)
    }
    return { tokens: tokens.length, lossNats: tokens.length > 1 ? totalNats / (tokens.length - 1) : null }
  }
}

const EVALUATE_SLICE_TOKENS = 128

/** Sum of -log p(target) over rows of logits [count, V]; the target of row 0 is `tokens[firstTarget]`. In float64. */
export function lossSumNats(
  logits: Float32Array,
  count: number,
  tokens: ArrayLike<number>,
  firstTarget: number,
): number {
  const vocabularySize = logits.length / count
  let totalNats = 0
  for (let row = 0; row < count && firstTarget + row < tokens.length; row++) {
    const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize)
    let largest = Number.NEGATIVE_INFINITY
    for (const value of values) largest = Math.max(largest, value)
    let sum = 0
    for (const value of values) sum += Math.exp(value - largest)
    totalNats += Math.log(sum) + largest - values[tokens[firstTarget + row]]
  }
  return totalNats
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new EngineError('tokenizer-invalid', "The model's tokenizer is not valid JSON.", {
      remedy: 'Convert the original checkpoint again.',
      cause,
    })
  }
}

const notLoaded = (): EngineError =>
  new EngineError('model-not-loaded', 'The model was closed.', { remedy: 'Load it again.' })
