/** The engine's memory: real bytes, and two lines over time that should be flat. */
import { useEffect, useRef } from 'react'
import { useStore } from 'zustand'
import type { ModelInfo } from '../../../contract/words/model.ts'
import { useEngine, usePreferences, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { formatBytes } from '../../ui/units.ts'
import { Reading } from './reading.tsx'
import { drawTrace, type TraceSeries } from './trace.ts'

export function MemoryGauge() {
  const { memory } = useStores()
  useEffect(() => memory.watch(), [memory])
  const engine = useStore(memory.latest, state => state.sample?.memory ?? null)
  const model = useEngine(state => state.lastLoaded?.model ?? null)
  const words = strings.instruments
  return (
    <section className="instrument" aria-labelledby="memory-heading">
      <h2 id="memory-heading">{words.memory}</h2>
      <figure className="gauge">
        <figcaption>
          <span>{words.state}</span>
          <strong>{formatBytes(engine?.bytesPerState)}</strong>
        </figcaption>
        <TraceCanvas series="bytesPerState" name={words.state} now={formatBytes(engine?.bytesPerState)} />
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
        <TraceCanvas series="engineRssBytes" name={words.process} now={formatBytes(engine?.processRssBytes)} />
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

/** Draws at most once a frame and only while it can be seen. */
function TraceCanvas({ series, name, now }: { series: TraceSeries; name: string; now: string }) {
  const { memory } = useStores()
  const canvas = useRef<HTMLCanvasElement>(null)
  const theme = usePreferences(state => state.theme)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme has other colours
  useEffect(() => {
    const element = canvas.current
    if (element === null) return
    let visible = false
    let frame = 0
    const draw = () => {
      if (!visible || document.hidden) return
      cancelAnimationFrame(frame)
      frame = requestAnimationFrame(() => drawTrace(element, memory.trace, series))
    }
    const sight = new IntersectionObserver(([entry]) => {
      visible = entry.isIntersecting
      draw()
    })
    const size = new ResizeObserver(draw)
    const scheme = window.matchMedia('(prefers-color-scheme: dark)')
    sight.observe(element)
    size.observe(element)
    scheme.addEventListener('change', draw)
    document.addEventListener('visibilitychange', draw)
    const stop = memory.onSample(draw)
    return () => {
      cancelAnimationFrame(frame)
      sight.disconnect()
      size.disconnect()
      scheme.removeEventListener('change', draw)
      document.removeEventListener('visibilitychange', draw)
      stop()
    }
  }, [memory, series, theme])
  return <canvas ref={canvas} className="trace" role="img" aria-label={strings.instruments.traceLabel(name, now)} />
}
