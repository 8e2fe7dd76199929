/**
 * The rules of runners themselves: the scripted device keeps all of them, and for each there is a runner that breaks it and
 * is found.
 */
import { describe, expect, it } from 'vitest'
import type { Runner, StateHandle } from '../../engine/backends/backend.ts'
import { brokenRule, type Oracle, RUNNER_RULES } from '../../engine/conformance/runner-rules.ts'
import { EngineError } from '../../engine/errors.ts'
import { createScriptedBackend, scriptedModelFile } from '../conformance/scripted-backend.ts'
import { characters } from '../conformance/tiny-tokenizer.ts'

const FILE = scriptedModelFile()
/** The scripted device has its own arithmetic: only the tokens are used. */
const ORACLE: Oracle = {
  tokens: characters('the tern over the sea'),
  logits: new Float32Array(),
  state: new Float32Array(),
}

const OPTIONS = { samples: true, batch: 3, residentStates: 7 }
async function scriptedRunner(options = OPTIONS): Promise<Runner> {
  const backend = createScriptedBackend(options)
  backend.next = fed => 3 + (fed.length % 40)
  return backend.load(FILE)
}

describe('the scripted device', () => {
  it.each(RUNNER_RULES)('keeps: $name', async rule => {
    const runner = await scriptedRunner()
    expect(rule.needs?.(runner.capabilities) ?? true).toBe(true)
    expect(await brokenRule(rule, runner, ORACLE)).toBeNull()
  })

  it('keeps them with room for one state, as far as they apply', async () => {
    const applied = []
    for (const rule of RUNNER_RULES) {
      const runner = await scriptedRunner({ samples: true, batch: 1, residentStates: 1 })
      if (rule.needs && !rule.needs(runner.capabilities)) continue
      expect(await brokenRule(rule, runner, ORACLE), rule.name).toBeNull()
      applied.push(rule.name)
    }
    expect(applied.length).toBe(RUNNER_RULES.length - 2)
  })

  it('throws the same object at every call once it has failed, but for releasing, memory and disposing', async () => {
    const backend = createScriptedBackend(OPTIONS)
    const runner = await backend.load(FILE)
    const state = await runner.createState()
    const portable = await runner.exportState(state)
    const failure = new EngineError('device-lost', 'gone')
    backend.deviceFailure = failure
    const calls = [
      () => runner.createState(),
      () => runner.cloneState(state),
      () => runner.exportState(state),
      () => runner.importState(state, portable),
      () => runner.readChunk(state, [1], 'last'),
      () => runner.decodeBatch([{ state, token: 1 }]),
    ]
    for (const call of calls) await expect(call()).rejects.toBe(failure)
    expect(runner.failure).toBe(failure)
    runner.releaseState(state)
    expect(runner.memory().bytesOfAllStates).toBe(0)
    await runner.dispose()
  })

  it('disposes after the call that runs, and keeps what was released meanwhile until then', async () => {
    const backend = createScriptedBackend(OPTIONS)
    const runner = await backend.load(FILE)
    const state = await runner.createState()
    const order: string[] = []
    const reading = runner.readChunk(state, [1, 2], 'none').then(() => order.push(`read ${backend.states.size}`))
    runner.releaseState(state)
    expect(backend.states.size).toBe(1)
    const disposing = runner.dispose().then(() => order.push(`disposed ${backend.states.size}`))
    await Promise.all([reading, disposing])
    expect(order).toEqual(['read 0', 'disposed 0'])
  })
})

type Breaks = (runner: Runner) => Partial<Runner>
const plusOne = (logits: Float32Array | null): Float32Array | null => logits?.map(value => value + 1) ?? null

/** For each rule a runner that breaks it. */
const BROKEN: Record<string, Breaks> = {
  'a refused call changes nothing': runner => ({
    // Reads what is right of a chunk before it refuses the rest.
    readChunk: async (state, tokens, want) => {
      const right = Array.from(tokens).filter(token => token >= 0 && token < runner.config.vocabularySize)
      if (right.length < tokens.length && right.length > 0) await runner.readChunk(state, right.slice(0, 1), 'none')
      return runner.readChunk(state, tokens, want)
    },
  }),
  'logits are right although those before them were overwritten': runner => {
    let kept: Float32Array | null = null
    return {
      // The same array again and again, filled only once.
      decodeBatch: async steps => {
        const [row] = await runner.decodeBatch(steps)
        kept ??= row.slice()
        return [kept]
      },
    }
  },
  'a state may be released at any time, and twice': runner => ({ releaseState: () => void runner.memory() }),
  'a fresh state is zero, in a used place too': runner => ({
    createState: async () => {
      const state = await runner.createState()
      await runner.readChunk(state, [5], 'none')
      return state
    },
  }),
  'a copied state goes on exactly': runner => ({
    importState: async (state, portable) => {
      const values = portable.values.slice()
      values[0]--
      return runner.importState(state, { ...portable, values })
    },
  }),
  'a clone goes its own way': () => ({ cloneState: async (state: StateHandle) => state }),
  'a batch computes what each computes alone': runner => ({
    decodeBatch: async steps => {
      const rows = await runner.decodeBatch(steps)
      return steps.length > 1 ? rows.toReversed() : rows
    },
  }),
  'chunks of any size compute what single tokens do, and what the reference does': runner => ({
    readChunk: async (state, tokens, want) => {
      const logits = await runner.readChunk(state, tokens, want)
      return tokens.length === 3 ? plusOne(logits) : logits
    },
  }),
  'the logits of all tokens are those of each': runner => ({
    readChunk: async (state, tokens, want) => {
      const logits = await runner.readChunk(state, tokens, want)
      return want === 'all' ? plusOne(logits) : logits
    },
  }),
  'two runs are identical': runner => {
    let calls = 0
    return {
      readChunk: async (...args) => (await runner.readChunk(...args))?.map(value => value + ++calls) ?? null,
    }
  },
  'more states than fit are refused, and the others live on': runner => ({
    createState: async () => {
      try {
        return await runner.createState()
      } catch {
        return { id: 99 }
      }
    },
  }),
  'a second call while one runs is refused, and the first goes on': runner => {
    let last: Promise<unknown> = Promise.resolve()
    const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
      const mine = last.then(work, work)
      last = mine
      return mine
    }
    return {
      createState: () => inTurn(() => runner.createState()),
      readChunk: (...args) => inTurn(() => runner.readChunk(...args)),
      decodeBatch: steps => inTurn(() => runner.decodeBatch(steps)),
      importState: (...args) => inTurn(() => runner.importState(...args)),
    }
  },
  'running ahead writes what single steps choose': runner => ({
    decodeAhead: async (state, start, options) => {
      const told = await runner.decodeAhead!(state, start, options)
      await runner.readChunk(state, [5], 'none')
      return told
    },
  }),
  'a disposed runner refuses every call, and releasing, memory and disposing still work': runner => ({
    dispose: async () => void runner.memory(),
  }),
}

describe('a runner that breaks a rule', () => {
  it('is there for each', () => {
    expect(Object.keys(BROKEN)).toEqual(RUNNER_RULES.map(({ name }) => name))
  })

  it.each(RUNNER_RULES)('is found: $name', async rule => {
    const right = await scriptedRunner()
    const broken: Runner = {
      config: right.config,
      capabilities: right.capabilities,
      failure: null,
      measurable: null,
      createState: () => right.createState(),
      cloneState: state => right.cloneState(state),
      releaseState: state => right.releaseState(state),
      exportState: state => right.exportState(state),
      importState: (...args) => right.importState(...args),
      readChunk: (...args) => right.readChunk(...args),
      decodeBatch: steps => right.decodeBatch(steps),
      decodeAhead: (...args) => right.decodeAhead!(...args),
      memory: () => right.memory(),
      dispose: () => right.dispose(),
      ...BROKEN[rule.name](right),
    }
    expect(await brokenRule(rule, broken, ORACLE)).toEqual(expect.any(String))
  })
})
