/** The engine's status as a fold: every event in every phase. */
import { describe, expect, it } from 'vitest'
import type { EngineStatus } from '../../contract/app/engine.ts'
import type { TernErrorData } from '../../contract/errors.ts'
import type { LoadedModel } from '../../contract/words/model.ts'
import { reduceStatus, type StatusEvent } from '../../main/host/engine-status.ts'
import { fakeModel } from '../fake-engine.ts'

const gpu = { name: 'webgpu', description: 'a card', kernel: 'dot-packed', threads: 0 } as const
const cpu = { name: 'wasm', description: 'two threads', kernel: 'simd', threads: 2 } as const
const loaded: LoadedModel = { model: fakeModel, backend: gpu, loadMs: 900 }
const other: LoadedModel = { model: { ...fakeModel, name: 'other' }, backend: cpu, loadMs: 100 }
const error: TernErrorData = { code: 'backend-failed', message: 'The kernel trapped.' }

const PHASES = {
  starting: { phase: 'starting' },
  loading: { phase: 'loading', modelName: 'x', stage: 'load', fraction: 0.5 },
  ready: { phase: 'ready', loaded, isMoving: false },
  moving: { phase: 'ready', loaded, isMoving: true },
  unloaded: { phase: 'unloaded' },
  restarting: { phase: 'restarting', attempt: 1, reason: 'it exited with code 70' },
  failed: { phase: 'failed', error: { code: 'engine-lost', message: 'It ended 4 times.' }, otherModelPath: null },
} as const satisfies Record<string, EngineStatus>
type Name = keyof typeof PHASES
const NAMES = Object.keys(PHASES) as Name[]

/** `elsewhere`: what an event does outside of the phases that it names; 'stays' is the status that was. */
const TABLE: { event: StatusEvent; to: Partial<Record<Name, EngineStatus>>; elsewhere: EngineStatus | 'stays' }[] = [
  { event: { kind: 'starting' }, to: {}, elsewhere: { phase: 'starting' } },
  {
    event: { kind: 'loading', modelName: 'y', stage: 'convert', fraction: 0 },
    to: {},
    elsewhere: { phase: 'loading', modelName: 'y', stage: 'convert', fraction: 0 },
  },
  { event: { kind: 'loaded', loaded: other }, to: {}, elsewhere: { phase: 'ready', loaded: other, isMoving: false } },
  {
    event: { kind: 'moving', cause: 'lost' },
    to: { ready: PHASES.moving, moving: PHASES.moving },
    elsewhere: 'stays',
  },
  {
    event: { kind: 'moved', cause: 'lost', backend: cpu, loadMs: 40, reason: 'Lost.', isExact: true },
    to: Object.fromEntries(
      (['ready', 'moving'] as const).map(name => [
        name,
        { phase: 'ready', loaded: { model: fakeModel, backend: cpu, loadMs: 40 }, isMoving: false },
      ]),
    ),
    elsewhere: 'stays',
  },
  { event: { kind: 'failed', error }, to: {}, elsewhere: { phase: 'failed', error, otherModelPath: null } },
  {
    event: { kind: 'gave-up', error, otherModelPath: '/m.gguf' },
    to: {},
    elsewhere: { phase: 'failed', error, otherModelPath: '/m.gguf' },
  },
  {
    event: { kind: 'unloaded' },
    to: { ready: { phase: 'unloaded' }, moving: { phase: 'unloaded' } },
    elsewhere: 'stays',
  },
  {
    event: { kind: 'restarting', attempt: 2, reason: 'it was killed' },
    to: {},
    elsewhere: { phase: 'restarting', attempt: 2, reason: 'it was killed' },
  },
]

describe.each(TABLE)('$event.kind', ({ event, to, elsewhere }) => {
  it.each(NAMES)('while %s', name => {
    const before = structuredClone(PHASES[name])
    const expected = to[name] ?? (elsewhere === 'stays' ? PHASES[name] : elsewhere)
    expect(reduceStatus(PHASES[name], event)).toEqual(expected)
    expect(PHASES[name]).toEqual(before)
  })
})

it('nothing but a load makes an engine ready that was not', () => {
  for (const name of NAMES.filter(each => PHASES[each].phase !== 'ready')) {
    const makers = TABLE.filter(({ event }) => reduceStatus(PHASES[name], event).phase === 'ready')
    expect(makers.map(({ event }) => event.kind)).toEqual(['loaded'])
  }
})
