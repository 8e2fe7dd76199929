/** A figure over the last two minutes, drawn outside React. */
import { useEffect, useRef } from 'react'
import { usePreferences } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { drawTrace, type TraceSeries } from './trace.ts'

interface TraceCanvasProps {
  /** Stays the same object. */
  series: TraceSeries
  onSample(listener: () => void): () => void
  name: string
  now: string
}

/** Draws at most once a frame and only while it can be seen. */
export function TraceCanvas({ series, onSample, name, now }: TraceCanvasProps) {
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
      frame = requestAnimationFrame(() => drawTrace(element, series))
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
    const stop = onSample(draw)
    return () => {
      cancelAnimationFrame(frame)
      sight.disconnect()
      size.disconnect()
      scheme.removeEventListener('change', draw)
      document.removeEventListener('visibilitychange', draw)
      stop()
    }
  }, [onSample, series, theme])
  return <canvas ref={canvas} className="trace" role="img" aria-label={strings.instruments.traceLabel(name, now)} />
}
