/**
 * Draws one figure over the last two minutes on a canvas: a measured line, solid, on an axis that starts at zero (so
 * that flat looks flat and growth looks like growth). It draws from the ring buffer, outside React.
 */
import { strings } from '../../app/strings.ts'
import { TRACE_SPAN_MS } from '../../stores/memory.ts'

/** One figure over time, oldest first by index; NaN: not known. */
export interface TraceSeries {
  length(): number
  timeMs(index: number): number
  value(index: number): number
  /** The round figure at or above this that ends the axis. */
  axisEnd(highest: number): number
  format(value: number): string
  /** A colour of the style sheet. */
  colour: '--sea' | '--power'
}

/** Room for the labels, in CSS pixels. */
const TOP_PX = 14
const BOTTOM_PX = 16
/** A pause longer than this is a gap in the line: nothing was measured there. */
const GAP_MS = 3_000

/** `canvas` is scaled to the screen here; its size in CSS pixels comes from the style sheet. */
export function drawTrace(canvas: HTMLCanvasElement, series: TraceSeries): void {
  const context = canvas.getContext('2d')
  const { clientWidth: width, clientHeight: height } = canvas
  if (context === null || width === 0) return
  const scale = window.devicePixelRatio
  const pixelWidth = Math.round(width * scale)
  const pixelHeight = Math.round(height * scale)
  if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
    canvas.width = pixelWidth
    canvas.height = pixelHeight
  }
  const style = getComputedStyle(canvas)
  context.setTransform(scale, 0, 0, scale, 0, 0)
  context.clearRect(0, 0, width, height)
  context.font = `${style.fontSize} ${style.fontFamily}`
  context.fontVariantCaps = 'normal'

  const bottom = height - BOTTOM_PX
  const length = series.length()
  let highest = 0
  for (let i = 0; i < length; i++) {
    const value = series.value(i)
    if (value > highest) highest = value
  }
  const axisEnd = series.axisEnd(highest * 1.25)
  const endMs = length === 0 ? 0 : series.timeMs(length - 1)
  const x = (timeMs: number) => width - ((endMs - timeMs) / TRACE_SPAN_MS) * width
  const y = (value: number) => bottom - (value / axisEnd) * (bottom - TOP_PX)

  // Axis: zero and its end, both labelled.
  context.strokeStyle = style.getPropertyValue('--line-strong')
  context.lineWidth = 1
  context.beginPath()
  context.moveTo(0, Math.round(bottom) + 0.5)
  context.lineTo(width, Math.round(bottom) + 0.5)
  context.stroke()
  context.setLineDash([1, 3])
  context.beginPath()
  context.moveTo(0, Math.round(TOP_PX) + 0.5)
  context.lineTo(width, Math.round(TOP_PX) + 0.5)
  context.stroke()
  context.setLineDash([])
  context.fillStyle = style.color
  context.textBaseline = 'alphabetic'
  context.textAlign = 'left'
  if (length > 0) context.fillText(series.format(axisEnd), 0, TOP_PX - 4)
  context.fillText(strings.instruments.traceStart, 0, height - 3)
  context.textAlign = 'right'
  context.fillText(strings.instruments.traceEnd, width, height - 3)
  context.fillText('0', width, bottom - 3)

  context.strokeStyle = style.getPropertyValue(series.colour)
  context.lineWidth = 1.75
  context.lineJoin = 'round'
  context.beginPath()
  let lastMs = Number.NEGATIVE_INFINITY
  for (let i = 0; i < length; i++) {
    const timeMs = series.timeMs(i)
    const value = series.value(i)
    if (endMs - timeMs > TRACE_SPAN_MS || !Number.isFinite(value)) continue
    if (timeMs - lastMs > GAP_MS) context.moveTo(x(timeMs), y(value))
    else context.lineTo(x(timeMs), y(value))
    lastMs = timeMs
  }
  context.stroke()
  const latest = length === 0 ? Number.NaN : series.value(length - 1)
  if (Number.isFinite(latest)) {
    context.fillStyle = style.getPropertyValue(series.colour)
    context.beginPath()
    context.arc(width - 2.5, y(latest), 2.5, 0, Math.PI * 2)
    context.fill()
  }
}
