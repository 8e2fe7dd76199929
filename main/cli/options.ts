/** Options that several commands share, and how their values are read. Ranges are those of contract/words. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type BackendChoice, type BackendRequest, backendChoiceSchema } from '../../contract/words/backend.ts'
import { DEFAULT_CHAT_SAMPLING, MAX_STOP_STRINGS, type Sampling } from '../../contract/words/sampling.ts'

export interface BackendOptions {
  backend: BackendChoice
  threads?: number
  adapter?: string
  /** MiB */
  gpuMemory?: number
}

export interface ModelOptions extends BackendOptions {
  model?: string
}

export interface SamplingOptions {
  greedy?: true
  maxTokens?: number
  seed?: number
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  repetitionPenalty?: number
  presencePenalty?: number
  frequencyPenalty?: number
  stop?: string[]
  logitBias?: [number, number][]
}

/** A number within [minimum, maximum]; `integer` refuses fractions. */
export function number(minimum: number, maximum: number, { integer = false } = {}) {
  return (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (!(value >= minimum && value <= maximum) || (integer && !Number.isSafeInteger(value))) {
      const kind = integer ? 'a whole number' : 'a number'
      throw new InvalidArgumentError(`Expected ${kind} from ${minimum} to ${maximum}.`)
    }
    return value
  }
}
/** 16 TiB. */
const MAX_GPU_MEMORY_MIB = 2 ** 24

const count = number(0, Number.MAX_SAFE_INTEGER, { integer: true })
export const positiveCount = number(1, Number.MAX_SAFE_INTEGER, { integer: true })

/** The option may be repeated, up to `maxCount` times. */
export const collect =
  <T>(read: (text: string) => T, maxCount = Number.POSITIVE_INFINITY) =>
  (text: string, previous: T[] = []): T[] => {
    if (previous.length >= maxCount) throw new InvalidArgumentError(`Expected at most ${maxCount} of them.`)
    return [...previous, read(text)]
  }

/** An empty one would be the current folder: mostly a variable of the shell that is not set. */
export const somePath = (text: string): string => {
  if (text === '') throw new InvalidArgumentError('Expected a path.')
  return text
}

const someText = (text: string): string => {
  if (text === '') throw new InvalidArgumentError('Expected some text.')
  return text
}

const logitBias = (text: string): [number, number] => {
  const match = /^(\d+)=(.+)$/.exec(text)
  const bias = Number(match?.[2])
  if (match === null || !Number.isFinite(bias)) {
    throw new InvalidArgumentError('Expected a token id and a number: 42=-5.')
  }
  return [Number(match[1]), bias]
}

export function addModelOptions(command: Command): Command {
  command
    .optionsGroup('Model:')
    .option(
      '-m, --model <path>',
      'GGUF file or Hugging Face folder (default: the model that ships with Tern)',
      somePath,
    )
  return addBackendOptions(command)
}

export function addBackendOptions(command: Command): Command {
  return command
    .addOption(new Option('--backend <name>', 'what computes').choices(backendChoiceSchema.options).default('auto'))
    .option('--threads <n>', 'threads of the CPU (default: by the machine)', number(1, 64, { integer: true }))
    .option('--adapter <which>', 'graphics processor: auto, discrete, integrated, or a part of its name', someText)
    .option(
      '--gpu-memory <MiB>',
      'most of its memory that a model may take (default: what is free)',
      number(1, MAX_GPU_MEMORY_MIB, { integer: true }),
    )
}

/** The backend's options as the engine's contract takes them. */
export const backendRequest = ({ backend, threads, adapter, gpuMemory }: BackendOptions): BackendRequest => ({
  backend,
  ...(threads === undefined ? {} : { threads }),
  ...(adapter === undefined ? {} : { adapter }),
  ...(gpuMemory === undefined ? {} : { gpuMemoryBytes: gpuMemory * 2 ** 20 }),
})

/** The defaults are those of chats in the window. */
export function addSamplingOptions(command: Command): Command {
  const standard = DEFAULT_CHAT_SAMPLING
  const withDefault = (value: number | undefined) => (value === undefined ? '' : ` (default: ${value})`)
  return command
    .optionsGroup('Sampling:')
    .option('--greedy', 'always the most likely token, penalties off: same prompt, same text')
    .option('-n, --max-tokens <n>', `longest reply, in tokens${withDefault(standard.maxTokens)}`, count)
    .option('--seed <n>', 'same seed, same text', count)
    .option('--temperature <t>', `0 is greedy, higher is wilder${withDefault(standard.temperature)}`, number(0, 100))
    .option('--top-k <k>', `only the k likeliest tokens; 0 is off${withDefault(standard.topK)}`, count)
    .option('--top-p <p>', `only the likeliest that sum up to p; 1 is off${withDefault(standard.topP)}`, number(0, 1))
    .option('--min-p <p>', `none below p times the likeliest; 0 is off${withDefault(standard.minP)}`, number(0, 1))
    .option(
      '--repetition-penalty <x>',
      `above 1 against repetition; 1 is off${withDefault(standard.repetitionPenalty)}`,
      number(Number.MIN_VALUE, 100),
    )
    .option('--presence-penalty <x>', 'subtracted once from tokens that occurred; 0 is off', number(-100, 100))
    .option('--frequency-penalty <x>', 'subtracted for every occurrence; 0 is off', number(-100, 100))
    .option('--stop <text>', 'end before this text (repeatable)', collect(someText, MAX_STOP_STRINGS))
    .option('--logit-bias <id=bias>', 'add to a token’s logit (repeatable)', collect(logitBias))
}

/** Everything that changes the likelihoods, switched off: what --greedy starts from. */
const GREEDY: Sampling = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
}

/** Whether an option says how to draw tokens, for commands that are greedy of themselves. */
export const asksForSampling = (options: SamplingOptions): boolean =>
  [
    options.seed,
    options.temperature,
    options.topK,
    options.topP,
    options.minP,
    options.repetitionPenalty,
    options.presencePenalty,
    options.frequencyPenalty,
    options.logitBias,
  ].some(option => option !== undefined)

/** Chat's defaults, or greedy ones, under what the user gave. --greedy wins over --temperature. */
export function samplingOf(options: SamplingOptions): Sampling {
  const { seed, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty, stop, logitBias } = options
  const temperature = options.greedy ? 0 : options.temperature
  const given = { seed, temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty }
  return {
    ...DEFAULT_CHAT_SAMPLING,
    ...(options.greedy ? GREEDY : {}),
    ...defined({ ...given, stop, logitBias, maxTokens: options.maxTokens }),
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function defined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>
}
