/** The engine's memory: real bytes, and two lines over time that should be flat. */
import { useEffect, useMemo } from 'react'
import { useStore } from 'zustand'
import type { ModelInfo } from '../../../contract/words/model.ts'
import { useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { axisEndBytes, formatBytes } from '../../ui/units.ts'
import { Reading } from './reading.tsx'
import type { TraceSeries } from './trace.ts'
import { TraceCanvas } from './trace-canvas.tsx'

export function MemoryGauge() {
  const { memory } = useStores()
  useEffect(() => memory.watch(), [memory])
  const engine = useStore(memory.latest, state => state.sample?.memory ?? null)
  const model = useEngine(state => state.lastLoaded?.model ?? null)
  const series = useMemo(() => {
    const of = (value: (index: number) => number): TraceSeries => ({
      length: () => memory.trace.length,
      timeMs: memory.trace.timeMs,
      value,
      axisEnd: axisEndBytes,
      format: formatBytes,
      colour: '--sea',
    })
    return { bytesPerState: of(memory.trace.bytesPerState), engineRssBytes: of(memory.trace.engineRssBytes) }
  }, [memory])
  const words = strings.instruments
  return (
    <section className="instrument" aria-labelledby="memory-heading">
      <h2 id="memory-heading">{words.memory}</h2>
      <figure className="gauge">
        <figcaption>
          <span>{words.state}</span>
          <strong>{formatBytes(engine?.bytesPerState)}</strong>
        </figcaption>
        <TraceCanvas
          series={series.bytesPerState}
          onSample={memory.onSample}
          name={words.state}
          now={formatBytes(engine?.bytesPerState)}
        />
        <p>{words.stateFlat}</p>
      </figure>
      <dl className="readings">
        {engine?.place === 'gpu' ? <Reading name={words.place} value={words.gpuMemory} /> : null}
        <Reading name={words.weights} value={formatBytes(engine?.weightBytes)} />
        <Reading name={words.states(engine?.sessionCount ?? null)} value={formatBytes(engine?.bytesOfAllStates)} />
        <Reading name={words.scratch} value={formatBytes(engine?.scratchBytes)} />
      </dl>
      <figure className="gauge">
        <figcaption>
          <span>{words.process}</span>
          <strong>{formatBytes(engine?.processRssBytes)}</strong>
        </figcaption>
        <TraceCanvas
          series={series.engineRssBytes}
          onSample={memory.onSample}
          name={words.process}
          now={formatBytes(engine?.processRssBytes)}
        />
      </figure>
      {model === null ? null : <KvCacheComparison model={model} />}
    </section>
  )
}

/** Bytes that attention adds for each token: keys and values, 2 bytes each, D channels, every layer. */
const kvCacheBytesPerToken = (model: ModelInfo) => 2 * 2 * model.hiddenSize * model.layerCount

function KvCacheComparison({ model }: { model: ModelInfo }) {
  const perToken = kvCacheBytesPerToken(model)
  return (
    <p className="computed">
      <span className="computed-tag">{strings.instruments.computed}</span>{' '}
      {strings.instruments.kvCache(formatBytes(perToken), formatBytes(perToken * 1000))}
    </p>
  )
}
