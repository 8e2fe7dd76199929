/**
 * The rules of `Runner` (engine/backends/backend.ts), one test each, for every backend: run by the conformance tests, and by
 * `tern selftest` on the machine where a backend is to work. Results are compared bit for bit, of a runner with itself and,
 * where its arithmetic is that of the definition, with the reference. Arrays that a runner returned are overwritten with NaN
 * before its next call.
 */
import type { Runner, RunnerCapabilities, StateHandle, WantedLogits } from '../backends/backend.ts'
import { GREEDY_ON_DEVICE } from '../backends/backend.ts'
import { EngineError, type EngineErrorCode } from '../errors.ts'
import { firstBitDifference, firstNormalDifference } from './compare.ts'

/** What the reference makes of some tokens, from an empty state: at least 8 of them. */
export interface Oracle {
  tokens: readonly number[]
  /** [V] after the last of them. */
  logits: Float32Array
  /** [L, E] */
  state: Float32Array
}

export interface RunnerRule {
  name: string
  /** Left out: every runner. */
  needs?(capabilities: RunnerCapabilities): boolean
  /** On a runner without states; leaves none. Throws what is wrong, in a sentence. */
  run(runner: Runner, oracle: Oracle): Promise<void>
}

/** What the reference makes of `tokens`. */
export async function oracleOf(reference: Runner, tokens: readonly number[]): Promise<Oracle> {
  const state = await reference.createState()
  const logits = await read(reference, state, tokens)
  const { values } = await reference.exportState(state)
  reference.releaseState(state)
  return { tokens, logits, state: values }
}

export const RUNNER_RULES: readonly RunnerRule[] = [
  {
    name: 'a refused call changes nothing',
    async run(runner, { tokens }) {
      const { vocabularySize: V } = runner.config
      const gone = await runner.createState()
      runner.releaseState(gone)
      const state = await runner.createState()
      await read(runner, state, tokens)
      const portable = await runner.exportState(state)
      const { batch, residentStates, chunkTokens } = runner.capabilities
      const step = { state, token: 1 }
      const tooMany = Array.from({ length: chunkTokens('last') + 1 }, () => 1)
      const refusals: [EngineErrorCode, () => Promise<unknown>][] = [
        ['invalid-argument', () => runner.readChunk(state, [], 'last')],
        ['invalid-argument', () => runner.readChunk(state, tooMany, 'last')],
        ...[-1, V, 1.5, Number.NaN].flatMap((token): [EngineErrorCode, () => Promise<unknown>][] => [
          ['token-out-of-range', () => runner.readChunk(state, [1, token].slice(-chunkTokens('none')), 'none')],
          ['token-out-of-range', () => runner.decodeBatch([{ state, token }])],
        ]),
        ['internal', () => runner.decodeBatch([{ state: gone, token: 1 }])],
        ['internal', () => runner.readChunk(gone, [1], 'none')],
        ['internal', () => runner.exportState(gone)],
        ['internal', () => runner.cloneState(gone)],
        ['invalid-argument', () => runner.decodeBatch([])],
        ['invalid-argument', () => runner.decodeBatch([step, step])],
        ['invalid-argument', () => runner.decodeBatch(Array.from({ length: batch + 1 }, () => step))],
        ['state-mismatch', () => runner.importState(state, { ...portable, layerCount: portable.layerCount + 1 })],
        ['state-mismatch', () => runner.importState(state, { ...portable, values: portable.values.subarray(1) })],
      ]
      for (const [index, [code, call]] of refusals.entries()) await expectCode(code, call, `refusal ${index + 1}`)
      if (batch > 1 && residentStates > 1) {
        const other = await runner.createState()
        await expectCode('token-out-of-range', () => runner.decodeBatch([step, { state: other, token: V }]), 'a batch')
        await expectCode('internal', () => runner.decodeBatch([step, { state: gone, token: 1 }]), 'a batch')
        runner.releaseState(other)
      }
      await expectState(runner, state, portable.values, 'the state after refusals')
      runner.releaseState(state)
    },
  },
  {
    name: 'logits are right although those before them were overwritten',
    async run(runner, { tokens }) {
      const state = await runner.createState()
      const [first, second] = [await decode(runner, state, tokens[0]), await decode(runner, state, tokens[1])]
      await empty(runner, state)
      expectSame(await read(runner, state, tokens.slice(0, 1)), first, 'the first logits')
      expectSame(await read(runner, state, tokens.slice(1, 2)), second, 'the second logits')
      runner.releaseState(state)
    },
  },
  {
    name: 'a state may be released at any time, and twice',
    async run(runner, { tokens }) {
      const state = await runner.createState()
      const reading = runner.readChunk(state, chunk(runner, tokens, 'last'), 'last')
      runner.releaseState(state)
      runner.releaseState(state)
      const logits = (await reading)!.slice()
      await expectCode('internal', () => runner.exportState(state), 'a released state')
      runner.releaseState(state)
      runner.releaseState({ id: -1 })
      const again = await runner.createState()
      expectSame(
        await read(runner, again, chunk(runner, tokens, 'last')),
        logits,
        'logits of a state released meanwhile',
      )
      runner.releaseState(again)
      if (runner.memory().bytesOfAllStates !== 0) throw new Error('released states are still counted')
    },
  },
  {
    name: 'a fresh state is zero, in a used place too',
    async run(runner, { tokens }) {
      for (let round = 0; round < 3; round++) {
        const used = await runner.createState()
        await read(runner, used, tokens.slice(0, 5))
        runner.releaseState(used)
        const fresh = await runner.createState()
        const { values } = await runner.exportState(fresh)
        if (values.some(value => value !== 0)) throw new Error('a fresh state is not zero')
        runner.releaseState(fresh)
      }
    },
  },
  {
    name: 'a copied state goes on exactly',
    async run(runner, { tokens }) {
      const half = tokens.length >> 1
      const [before, rest] = [tokens.slice(0, half), tokens.slice(half)]
      const original = await runner.createState()
      await read(runner, original, before)
      const portable = await runner.exportState(original)
      const values = portable.values.slice()
      const logits = await read(runner, original, rest)
      expectSame(portable.values, values, 'an exported state after its original went on')
      runner.releaseState(original)
      const restored = await runner.createState()
      const { isExact } = await runner.importState(restored, portable)
      if (!isExact) throw new Error('its own state is not imported exactly')
      portable.values.fill(7)
      expectSame(await read(runner, restored, rest), logits, 'logits after an import')
      runner.releaseState(restored)
    },
  },
  {
    name: 'a clone goes its own way',
    needs: ({ residentStates }) => residentStates > 1,
    async run(runner, { tokens }) {
      const half = tokens.length >> 1
      const [before, rest] = [tokens.slice(0, half), tokens.slice(half)]
      const original = await runner.createState()
      await read(runner, original, before)
      const { values } = await runner.exportState(original)
      const clone = await runner.cloneState(original)
      const logits = await read(runner, clone, rest)
      await expectState(runner, original, values, 'the original of a clone')
      runner.releaseState(original)
      const straight = await runner.createState()
      expectSame(await read(runner, straight, tokens), logits, 'logits of a clone')
      await decode(runner, clone, tokens[0])
      release(runner, clone, straight)
    },
  },
  {
    name: 'a batch computes what each computes alone',
    needs: ({ batch, residentStates }) => batch > 1 && residentStates > 2,
    async run(runner, { tokens }) {
      const { batch, residentStates } = runner.capabilities
      const most = Math.min(batch, Math.floor(residentStates / 2))
      for (let count = 1; count <= most; count++) {
        const pairs: { together: StateHandle; alone: StateHandle }[] = []
        for (let i = 0; i < count; i++) {
          const together = await runner.createState()
          await read(runner, together, tokens.slice(0, 1 + (i % (tokens.length - 1))))
          pairs.push({ together, alone: await runner.cloneState(together) })
        }
        for (let step = 0; step < 2; step++) {
          const token = (i: number): number => tokens[(3 * step + i) % tokens.length]
          const batched = await runner.decodeBatch(
            pairs.map(({ together }, i) => ({ state: together, token: token(i) })),
          )
          const logits = batched.map(row => row.slice())
          for (const [i, { alone }] of pairs.entries()) {
            expectSame(await decode(runner, alone, token(i)), logits[i], `logits of sequence ${i + 1} of ${count}`)
          }
        }
        for (const { together, alone } of pairs) {
          await expectState(runner, together, (await runner.exportState(alone)).values, `a state of ${count}`)
          release(runner, together, alone)
        }
      }
    },
  },
  {
    name: 'chunks of any size compute what single tokens do, and what the reference does',
    async run(runner, { tokens, logits, state: expectedState }) {
      const { arithmetic } = runner.capabilities
      const steps = await runner.createState()
      let last = new Float32Array()
      for (const token of tokens) last = await decode(runner, steps, token)
      const { values } = await runner.exportState(steps)
      runner.releaseState(steps)
      for (const size of [3, 16, 63, 65, Number.POSITIVE_INFINITY]) {
        const state = await runner.createState()
        expectSame(await read(runner, state, tokens, size), last, `logits after chunks of ${size}`)
        await expectState(runner, state, values, `the state after chunks of ${size}`)
        runner.releaseState(state)
      }
      if (arithmetic === 'own') return
      const difference = arithmetic === 'definition' ? firstBitDifference : firstNormalDifference
      if (difference(last, logits) >= 0) throw new Error('the logits are not those of the reference')
      if (difference(values, expectedState) >= 0) throw new Error('the state is not that of the reference')
    },
  },
  {
    name: 'the logits of all tokens are those of each',
    async run(runner, { tokens }) {
      const { vocabularySize: V } = runner.config
      const state = await runner.createState()
      const some = chunk(runner, tokens, 'all')
      const rows = (await runner.readChunk(state, some, 'all'))!.slice()
      if (rows.length !== some.length * V) throw new Error(`${rows.length} logits of ${some.length} tokens`)
      await empty(runner, state)
      for (const [t, token] of some.entries()) {
        expectSame(
          await decode(runner, state, token),
          rows.subarray(t * V, (t + 1) * V),
          `the logits of token ${t + 1}`,
        )
      }
      runner.releaseState(state)
    },
  },
  {
    name: 'two runs are identical',
    async run(runner, { tokens }) {
      const run = async (): Promise<[Float32Array, Float32Array]> => {
        const state = await runner.createState()
        const logits = await read(runner, state, tokens)
        const { values } = await runner.exportState(state)
        runner.releaseState(state)
        return [logits, values]
      }
      const [first, second] = [await run(), await run()]
      expectSame(second[0], first[0], 'logits of a second run')
      expectSame(second[1], first[1], 'the state of a second run')
    },
  },
  {
    name: 'more states than fit are refused, and the others live on',
    needs: ({ residentStates }) => Number.isFinite(residentStates),
    async run(runner, { tokens }) {
      const states: StateHandle[] = []
      for (let i = 0; i < runner.capabilities.residentStates; i++) states.push(await runner.createState())
      await read(runner, states[0], tokens)
      const { values } = await runner.exportState(states[0])
      await expectCode('out-of-memory', () => runner.createState(), 'one state more')
      await expectCode('out-of-memory', () => runner.cloneState(states[0]), 'one clone more')
      await expectState(runner, states[0], values, 'a state after a refusal')
      runner.releaseState(states.pop()!)
      states.push(await runner.createState())
      release(runner, ...states)
    },
  },
  {
    name: 'a second call while one runs is refused, and the first goes on',
    async run(runner, { tokens }) {
      const state = await runner.createState()
      const some = chunk(runner, tokens, 'last')
      const reading = runner.readChunk(state, some, 'last')
      // Begun before the first can have ended.
      const others = [runner.decodeBatch([{ state, token: 1 }]), runner.createState()]
      await Promise.allSettled(others)
      for (const other of others) await expectCode('internal', () => other, 'a second call')
      const logits = (await reading)!.slice()
      await empty(runner, state)
      expectSame(await read(runner, state, some), logits, 'logits with a second call meanwhile')
      if (runner.failure !== null) throw new Error('the runner has failed')
      runner.releaseState(state)
    },
  },
  {
    name: 'running ahead writes what single steps choose',
    needs: ({ samples }) => samples !== null,
    async run(runner, { tokens }) {
      const state = await runner.createState()
      let logits = await read(runner, state, tokens)
      const expected: number[] = []
      for (let t = 0; t < 6; t++) {
        expected.push(largest(logits))
        if (t < 5) logits = await decode(runner, state, expected[t])
      }
      const { values } = await runner.exportState(state)
      await empty(runner, state)
      const start = await read(runner, state, tokens)
      const told: number[] = []
      const onToken = (token: number): 'feed' => {
        told.push(token)
        return 'feed'
      }
      const count = await runner.decodeAhead!(state, start, { sampling: GREEDY_ON_DEVICE, maxTokens: 6, onToken })
      if (count !== 6 || told.some((token, t) => token !== expected[t])) {
        throw new Error(`it writes ${told.join(', ')}, not ${expected.join(', ')}`)
      }
      await expectState(runner, state, values, 'the state after running ahead')
      runner.releaseState(state)
    },
  },
  {
    // The last: it ends the runner.
    name: 'a disposed runner refuses every call, and releasing, memory and disposing still work',
    async run(runner, { tokens }) {
      const state = await runner.createState()
      const portable = await runner.exportState(state)
      await runner.dispose()
      const calls = [
        () => runner.createState(),
        () => runner.cloneState(state),
        () => runner.exportState(state),
        () => runner.importState(state, portable),
        () => runner.readChunk(state, chunk(runner, tokens, 'last'), 'last'),
        () => runner.decodeBatch([{ state, token: tokens[0] }]),
      ]
      for (const [index, call] of calls.entries()) {
        await expectCode('model-not-loaded', call, `call ${index + 1} of a disposed runner`)
      }
      runner.releaseState(state)
      runner.memory()
      await runner.dispose()
    },
  },
]

/** Why a runner breaks a rule, in a sentence; null: it keeps it. Other errors than those of rules are told too. */
export async function brokenRule(rule: RunnerRule, runner: Runner, oracle: Oracle): Promise<string | null> {
  try {
    await rule.run(withPoison(runner), oracle)
    return null
  } catch (error) {
    if (error instanceof EngineError && error.code === 'cancelled') throw error
    return error instanceof Error ? error.message : String(error)
  }
}

/** The same runner, which finds NaN wherever it returned logits before. */
function withPoison(runner: Runner): Runner {
  let returned: Float32Array[] = []
  const after = async <T>(work: () => Promise<T>, logitsOf: (result: T) => (Float32Array | null)[]): Promise<T> => {
    for (const logits of returned) logits.fill(Number.NaN)
    returned = []
    const result = await work()
    returned = logitsOf(result).filter(logits => logits !== null)
    return result
  }
  const nothing = () => []
  const ahead = runner.decodeAhead
  return {
    config: runner.config,
    capabilities: runner.capabilities,
    get failure() {
      return runner.failure
    },
    measurable: null,
    createState: () => after(() => runner.createState(), nothing),
    cloneState: state => after(() => runner.cloneState(state), nothing),
    releaseState: state => runner.releaseState(state),
    exportState: state => after(() => runner.exportState(state), nothing),
    importState: (state, portable) => after(() => runner.importState(state, portable), nothing),
    readChunk: (...args) =>
      after(
        () => runner.readChunk(...args),
        logits => [logits],
      ),
    decodeBatch: steps =>
      after(
        () => runner.decodeBatch(steps),
        logits => logits,
      ),
    decodeAhead: ahead && ((...args) => after(() => ahead(...args), nothing)),
    memory: () => runner.memory(),
    dispose: () => runner.dispose(),
  }
}

/** As many of the tokens as fit one chunk. */
const chunk = (runner: Runner, tokens: readonly number[], want: WantedLogits): readonly number[] =>
  tokens.slice(0, runner.capabilities.chunkTokens(want))

/** The logits after the last token, a copy. */
async function read(
  runner: Runner,
  state: StateHandle,
  tokens: readonly number[],
  size = Number.POSITIVE_INFINITY,
): Promise<Float32Array> {
  const most = Math.min(size, runner.capabilities.chunkTokens('last'))
  let last = new Float32Array()
  for (let first = 0; first < tokens.length; first += most) {
    const isLast = first + most >= tokens.length
    const logits = await runner.readChunk(state, tokens.slice(first, first + most), isLast ? 'last' : 'none')
    if (isLast) last = logits!.slice()
  }
  return last
}

async function decode(runner: Runner, state: StateHandle, token: number): Promise<Float32Array<ArrayBuffer>> {
  const [logits] = await runner.decodeBatch([{ state, token }])
  return logits.slice()
}

async function empty(runner: Runner, state: StateHandle): Promise<void> {
  const { layerCount, stateWidth } = runner.config
  const values = new Float32Array(layerCount * stateWidth)
  await runner.importState(state, { layerCount, stateWidth, values, numericMode: runner.capabilities.numericMode })
}

function release(runner: Runner, ...states: StateHandle[]): void {
  for (const state of states) runner.releaseState(state)
}

/** The token with the largest logit; the first of several. */
export function largest(logits: Float32Array): number {
  let best = 0
  for (let token = 1; token < logits.length; token++) if (logits[token] > logits[best]) best = token
  return best
}

function expectSame(actual: Float32Array, expected: Float32Array, what: string): void {
  if (firstBitDifference(actual, expected) >= 0) throw new Error(`${what} differ`)
}

async function expectState(runner: Runner, state: StateHandle, expected: Float32Array, what: string): Promise<void> {
  const { values } = await runner.exportState(state)
  if (firstBitDifference(values, expected) >= 0) throw new Error(`${what} differs`)
}

async function expectCode(code: EngineErrorCode, call: () => Promise<unknown>, what: string): Promise<void> {
  try {
    await call()
  } catch (error) {
    if (error instanceof EngineError && error.code === code) return
    throw new Error(`${what} is refused with ${error instanceof EngineError ? error.code : String(error)}, not ${code}`)
  }
  throw new Error(`${what} is not refused`)
}
