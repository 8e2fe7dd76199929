/**
 * The engine's front door: a model file and a backend become a loaded model, which gives sessions. Backends, files,
 * clocks and hashes are passed in (engine-environment.ts); in the app the engine process makes them.
 */
import type { Backend, BackendInfo, LoadOptions, RunnerCapabilities, RunnerMemory } from './backends/backend.ts'
import { CancelWatch } from './cancel-watch.ts'
import { DecodeQueue } from './decode-queue.ts'
import type { CancelSignal, Clock, CreateSha256, YieldToEventLoop } from './engine-environment.ts'
import { EngineError } from './errors.ts'
import { type EvaluateOptions, type Evaluation, evaluateTokens } from './evaluate.ts'
import type { GgufModel } from './formats/gguf.ts'
import { checkNumericDomain } from './formats/numeric-magnitudes.ts'
import { bytesPerState } from './model/config.ts'
import { checkStateDomain, type NumericEnvelope } from './model/numeric-domain.ts'
import { type ModelEventListener, ModelEvents } from './model-events.ts'
import { type ContinuationScore, scoreContinuations } from './score.ts'
import { type LoadedRunner, type NextBackend, Sequences } from './sequences.ts'
import { RecurrentSession, type Session, type SessionContext } from './session.ts'
import { type Conversation, conversationText } from './session-input.ts'
import { hashModel, hashTokenizer, type ModelIdentity } from './state/identity.ts'
import { describeStateFile, markedPart, mismatch, readStateFile, writeStateFile } from './state/state-file.ts'
import { type ChatTemplate, compileChatTemplate, PLAIN_CHAT_TEMPLATE } from './tokenizer/chat-template.ts'
import { createTokenizer, type Tokenizer } from './tokenizer/tokenizer.ts'
import { notLoaded, Turns } from './turns.ts'

export interface EngineEnvironment {
  clock: Clock
  yieldToEventLoop: YieldToEventLoop
  createSha256: CreateSha256
}

export interface LoadedModel {
  readonly file: GgufModel
  /** Where the sessions are now: changes when a device is lost, and by `move`. */
  readonly backend: BackendInfo
  /** null: the file carries none, only token ids can be read. */
  readonly tokenizer: Tokenizer | null
  /** null: a base model; conversations are rendered as plain text. */
  readonly template: ChatTemplate | null
  /** Of the present backend. */
  readonly loadMs: number
  createSession(): Session
  /**
   * A session from a state file. Throws `state-corrupt`, `state-mismatch`. The first state written or read hashes the
   * whole model once, about a second per gigabyte.
   */
  importSession(bytes: Uint8Array, conversation?: Conversation): Promise<Session>
  /** What a state file is, and why this model cannot go on from it; null: it can. Throws `state-corrupt`. */
  describeState(bytes: Uint8Array): Promise<StateDescription>
  /** Next-token loss of exactly these tokens in an empty sequence. Throws `invalid-argument`, `cancelled`. */
  evaluate(tokens: readonly number[], options?: EvaluateOptions): Promise<Evaluation>
  /** Of each continuation after the context, which is read once. Throws `invalid-argument`, `cancelled`. */
  score(
    context: readonly number[],
    continuations: readonly (readonly number[])[],
    options?: { signal?: CancelSignal },
  ): Promise<ContinuationScore[]>
  memory(): ModelMemory
  /**
   * Loads the model on another backend and takes all sessions there, between two runner calls of a reply in progress.
   * Throws what loading throws: then nothing has changed. The backend before it is the caller's to dispose.
   */
  move(backend: Backend, options?: LoadOptions): Promise<void>
  /** Told of every move and of the backend's end, whether a reply runs or not. Returns a function that ends that. */
  onEvent(listener: ModelEventListener): () => void
  /** Ends all sessions and frees the weights. The file and the backend stay the caller's. */
  dispose(): Promise<void>
}

interface ModelMemory extends RunnerMemory {
  sessionCount: number
  bytesPerState: number
  place: RunnerCapabilities['memoryPlace']
}

interface StateDescription {
  modelName: string
  tokenCount: number
  /** null: the file does not hold it. */
  conversation: Conversation | null
  misfit: EngineError | null
}

export interface LoadModelOptions extends LoadOptions {
  /** Where sessions go on when the backend's device is lost, from their last state; left out: they fail. */
  nextBackend?: NextBackend
}

/**
 * Makes a backend's layout of the weights and reads tokenizer and template.
 * Throws `tokenizer-*`, `template-*`, `format-invalid` (numbers outside the numeric domain), `tensor-*`, `out-of-memory`, `backend-*`, `cancelled`.
 */
export async function loadModel(
  file: GgufModel,
  backend: Backend,
  environment: EngineEnvironment,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  const startMs = environment.clock.nowMs()
  const { vocabularySize } = file.config
  const tokenizer =
    file.tokenizerJson === null ? null : createTokenizer(parseJson(file.tokenizerJson), { vocabularySize })
  const template = file.chatTemplate === null ? null : compileChatTemplate(file.chatTemplate)
  const envelope = await checkNumericDomain(file)
  const runner = await backend.load(file, options)
  const loadMs = environment.clock.nowMs() - startMs
  return new Model(
    { file, tokenizer, template, envelope },
    { backend, runner, loadMs },
    options.nextBackend ?? null,
    environment,
  )
}

class Model implements LoadedModel {
  readonly file: GgufModel
  readonly tokenizer: Tokenizer | null
  readonly template: ChatTemplate | null
  private readonly envelope: NumericEnvelope
  private readonly sequences: Sequences
  private readonly turns: Turns
  private readonly environment: EngineEnvironment
  private readonly events = new ModelEvents()
  private readonly watch = new CancelWatch()
  private readonly sessions = new Set<RecurrentSession>()
  private readonly evaluations = new Set<Promise<unknown>>()
  private readonly context: SessionContext
  private identity: Promise<ModelIdentity> | null = null
  private isDisposed = false

  constructor(
    loaded: Pick<LoadedModel, 'file' | 'tokenizer' | 'template'> & { envelope: NumericEnvelope },
    place: LoadedRunner,
    nextBackend: NextBackend | null,
    environment: EngineEnvironment,
  ) {
    this.file = loaded.file
    this.tokenizer = loaded.tokenizer
    this.template = loaded.template
    this.envelope = loaded.envelope
    this.environment = environment
    const { clock, yieldToEventLoop } = environment
    const { watch, events } = this
    this.turns = new Turns(watch)
    this.sequences = new Sequences(place, loaded.file, { nextBackend, events, watch, clock, yieldToEventLoop })
    this.context = {
      config: loaded.file.config,
      sequences: this.sequences,
      turns: this.turns,
      decodeQueue: new DecodeQueue(this.sequences, this.turns, watch, yieldToEventLoop),
      tokenizer: loaded.tokenizer,
      template: loaded.template ?? compileChatTemplate(PLAIN_CHAT_TEMPLATE),
      clock,
      yieldToEventLoop,
      writeState: async (snapshot, storedText) =>
        writeStateFile(
          snapshot,
          this.file.name,
          await this.identify(),
          this.file.config,
          this.environment.createSha256,
          storedText,
        ),
      added: session => this.sessions.add(session),
      removed: session => this.sessions.delete(session),
    }
  }

  get backend(): BackendInfo {
    return this.sequences.present.backend.info
  }

  get loadMs(): number {
    return this.sequences.present.loadMs
  }

  createSession(): Session {
    if (this.isDisposed) throw notLoaded()
    return new RecurrentSession(this.context)
  }

  async importSession(bytes: Uint8Array, conversation?: Conversation): Promise<Session> {
    const { createSha256 } = this.environment
    const stored = readStateFile(bytes, await this.identify(), this.file.config, createSha256)
    const { recurrent, textMark, conversation: own, ...position } = stored
    const read = conversation ?? own
    if (textMark !== null && read !== null) {
      position.text = markedPart(conversationText(this.context, read), textMark, createSha256)
      if (position.text === null) {
        throw mismatch('it is of another conversation', 'a conversation that begins with its text', 'another text')
      }
    }
    if (this.isDisposed) throw notLoaded()
    checkStateDomain(recurrent.values, this.envelope)
    return new RecurrentSession(this.context, this.sequences.createFrom(recurrent), position)
  }

  async describeState(bytes: Uint8Array): Promise<StateDescription> {
    const description = describeStateFile(bytes, this.environment.createSha256)
    try {
      const session = await this.importSession(bytes)
      session.dispose()
      return { ...description, misfit: null }
    } catch (error) {
      if (error instanceof EngineError && error.code === 'state-mismatch') return { ...description, misfit: error }
      throw error
    }
  }

  async evaluate(tokens: readonly number[], options: EvaluateOptions = {}): Promise<Evaluation> {
    return this.untilDisposed(options.signal, signal => evaluateTokens(tokens, { ...options, signal }, this.context))
  }

  async score(
    context: readonly number[],
    continuations: readonly (readonly number[])[],
    options: { signal?: CancelSignal } = {},
  ): Promise<ContinuationScore[]> {
    return this.untilDisposed(options.signal, signal =>
      scoreContinuations(context, continuations, { signal }, this.context),
    )
  }

  memory(): ModelMemory {
    return {
      ...this.sequences.memory,
      sessionCount: this.sessions.size,
      bytesPerState: bytesPerState(this.file.config),
      place: this.sequences.capabilities.memoryPlace,
    }
  }

  async move(backend: Backend, options: LoadOptions = {}): Promise<void> {
    const { clock } = this.environment
    const startMs = clock.nowMs()
    const runner = await backend.load(this.file, options)
    const loadMs = clock.nowMs() - startMs
    try {
      await this.turns.exclusive(() => this.sequences.move({ backend, runner, loadMs }))
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
    this.turns.close()
    this.sequences.close()
    this.watch.look()
    await Promise.allSettled([...sessions.map(session => session.idle()), ...this.evaluations, this.turns.idle()])
    await this.sequences.dispose()
  }

  /** Work without a session, that `dispose` stops and waits for. */
  private async untilDisposed<T>(
    given: CancelSignal | undefined,
    work: (signal: CancelSignal) => Promise<T>,
  ): Promise<T> {
    if (this.isDisposed) throw notLoaded()
    const isDisposed = (): boolean => this.isDisposed
    const evaluation = work({
      get aborted() {
        return isDisposed() || (given?.aborted ?? false)
      },
    })
    this.evaluations.add(evaluation)
    try {
      return await evaluation
    } finally {
      this.evaluations.delete(evaluation)
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
    const { file, environment } = this
    return {
      modelSha256: await hashModel(file, environment.createSha256),
      tokenizerSha256: file.tokenizerJson === null ? null : hashTokenizer(file.tokenizerJson, environment.createSha256),
    }
  }
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
