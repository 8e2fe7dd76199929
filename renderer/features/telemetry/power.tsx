/** The power that the machine draws, and the energy of replies: measured, or a dash and what would open a source. */
import { useEffect, useMemo } from 'react'
import { useStore } from 'zustand'
import type { ReplyEnergy } from '../../../contract/words/energy.ts'
import { useChats, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { mainReading } from '../../stores/power.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { axisEndWatts, DASH, formatEnergy, formatEnergyPerToken, formatWatts } from '../../ui/units.ts'
import { Reading } from './reading.tsx'
import type { TraceSeries } from './trace.ts'
import { TraceCanvas } from './trace-canvas.tsx'

/** In the header: always there, a dash where nothing can be measured. */
export function PowerGauge({ onOpen }: { onOpen(): void }) {
  const { power } = useStores()
  useEffect(() => power.watch(), [power])
  const sample = useStore(power.state, state => state.sample)
  const reading = sample === null ? null : mainReading(sample)
  const energy = useLastEnergy()
  const words = strings.power
  const watts = formatWatts(reading?.watts)
  const perToken = energy === null ? DASH : formatEnergyPerToken(energy.joules, energy.tokens)
  return (
    <button
      type="button"
      className="power-gauge"
      data-missing={reading?.watts == null}
      aria-label={words.gauge(watts, perToken)}
      title={reading === null ? words.noSource : words.of(words.scopes[reading.scope as keyof typeof words.scopes])}
      onClick={onOpen}
    >
      <span className="power-gauge-watts">{watts}</span>
      <span className="power-gauge-energy">{perToken}</span>
    </button>
  )
}

/** Of the last reply of the open chat that was measured. */
function useLastEnergy(): { joules: number; tokens: number; energy: ReplyEnergy } | null {
  const last = useChats(state => state.chat?.messages.findLast(({ role }) => role === 'assistant') ?? null)
  const tokens = last?.stats?.generatedTokens ?? 0
  return last?.energy == null || tokens === 0 ? null : { joules: last.energy.joules, tokens, energy: last.energy }
}

export function PowerInstrument() {
  const { power } = useStores()
  useEffect(() => power.watch(), [power])
  const sample = useStore(power.state, state => state.sample)
  const isWithoutSource = useStore(power.state, state => state.isWithoutSource)
  const reading = sample === null ? null : mainReading(sample)
  const words = strings.power
  const series = useMemo((): TraceSeries => {
    const { trace } = power
    return {
      length: () => trace.length,
      timeMs: trace.timeMs,
      value: trace.watts,
      axisEnd: axisEndWatts,
      format: formatWatts,
      colour: '--power',
    }
  }, [power])
  return (
    <section className="instrument" aria-labelledby="power-heading">
      <h2 id="power-heading">
        {words.heading}
        {reading === null ? null : (
          <span className="power-quality">{words.of(words.scopes[reading.scope as keyof typeof words.scopes])}</span>
        )}
      </h2>
      <p className="big-figure power-figure" data-missing={reading?.watts == null}>
        <strong>{formatWatts(reading?.watts).replace(/\s?W$/, '')}</strong>
        <span>{words.watts}</span>
        {sample?.idleWatts == null ? null : <span>{words.idle(formatWatts(sample.idleWatts))}</span>}
      </p>
      {reading === null ? null : (
        <TraceCanvas series={series} onSample={power.onSample} name={words.heading} now={formatWatts(reading.watts)} />
      )}
      {isWithoutSource ? <NoSource /> : null}
      <OtherScopes />
      <LastEnergy />
    </section>
  )
}

/** What is drawn elsewhere, each by itself: scopes may contain each other and are never added. */
function OtherScopes() {
  const { power } = useStores()
  const sample = useStore(power.state, state => state.sample)
  if (sample === null) return null
  const main = mainReading(sample)
  const others = sample.readings.filter(({ scope }) => scope !== main?.scope)
  if (others.length === 0) return null
  return (
    <dl className="readings">
      {others.map(({ id, name, scope, watts }) => (
        <Reading key={id} name={strings.power.scopes[scope]} value={formatWatts(watts)} detail={name} />
      ))}
    </dl>
  )
}

function NoSource() {
  const { power } = useStores()
  const closed = useStore(power.state, state => state.sample?.closed ?? [])
  const words = strings.power
  if (closed.length === 0) return <p className="power-note">{words.noSource}</p>
  return (
    <div className="power-note">
      <p>{words.closed(closed.map(({ name }) => name).join(', '))}</p>
      <p className="setting-path">{closed[0].remedy}</p>
      <CopyButton label={words.copyRemedy} text={() => closed[0].remedy} />
    </div>
  )
}

function LastEnergy() {
  const last = useLastEnergy()
  const chat = useChats(state => state.chat)
  if (last === null) return null
  const { energy, joules, tokens } = last
  const words = strings.power
  const ofChat = chat?.messages.reduce((sum, message) => sum + (message.energy?.joules ?? 0), 0) ?? 0
  return (
    <dl className="readings">
      <Reading
        name={words.reply}
        value={formatEnergyPerToken(joules, tokens)}
        detail={`${words.qualities[energy.quality]}, ${words.methods[energy.method]}`}
      />
      <Reading
        name={words.aboveIdle}
        value={energy.aboveIdleJoules === null ? DASH : formatEnergyPerToken(energy.aboveIdleJoules, tokens)}
        detail={energy.idle === null ? words.noIdle : words.idleSeen(formatWatts(energy.idle.watts))}
      />
      <Reading name={words.chat} value={formatEnergy(ofChat)} />
    </dl>
  )
}
