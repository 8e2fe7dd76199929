/** The right region: the model in use, the speed of the reply in sight, the engine's memory. */
import { useStore } from 'zustand'
import { useChats, useEngine, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { replyOf } from '../../stores/chats.ts'
import { IconButton } from '../../ui/icon-button.tsx'
import { DASH, formatBytes, formatDuration, formatParameters, formatPercent, formatRate } from '../../ui/units.ts'
import { Branches } from '../branches/branches.tsx'
import { MemoryGauge } from './memory-gauge.tsx'
import { PowerInstrument } from './power.tsx'
import { Reading } from './reading.tsx'

/** `onClose` is given while the region is a drawer. */
export function Instruments({ onClose }: { onClose: (() => void) | null }) {
  const { power } = useStores()
  // What has nothing to tell does not stand first.
  const isWithoutMeter = useStore(power.state, state => state.isWithoutSource)
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
    <aside className="instruments" data-drawer={onClose !== null} aria-label={strings.instruments.region} tabIndex={0}>
      {onClose === null ? null : (
        <IconButton
          className="drawer-close"
          icon="close"
          label={strings.instruments.close}
          onClick={onClose}
          autoFocus
        />
      )}
      {isWithoutMeter ? null : <PowerInstrument />}
      <Speed />
      <MemoryGauge />
      {isWithoutMeter ? <PowerInstrument /> : null}
      <Model />
      <Branches />
    </aside>
  )
}

/** Figures of the last reply; while one is in flight, its rate is that of the last second. */
function Speed() {
  const live = useChats(replyOf)
  const stats = useChats(state => state.chat?.messages.findLast(message => message.role === 'assistant')?.stats ?? null)
  const words = strings.instruments
  const isLive = live !== null && live.generatedTokens > 0
  const rate = formatRate(isLive ? live.tokensPerSecond : stats?.decodeTokensPerSecond)
  return (
    <section className="instrument" aria-labelledby="speed-heading">
      <h2 id="speed-heading">{words.speed}</h2>
      <p className="big-figure" data-live={isLive} data-missing={rate === DASH}>
        <strong>{rate}</strong>
        <span>{words.tokensPerSecond}</span>
      </p>
      <dl className="readings">
        <Reading name={words.firstToken} value={formatDuration(stats?.ttftMs)} />
        <Reading
          name={words.prefill}
          value={
            stats?.prefillTokensPerSecond == null ? DASH : strings.reply.rate(formatRate(stats.prefillTokensPerSecond))
          }
        />
      </dl>
    </section>
  )
}

function Model() {
  const loaded = useEngine(state => state.lastLoaded)
  if (loaded === null) return null
  const { model, backend, loadMs } = loaded
  const words = strings.instruments
  return (
    <section className="instrument" aria-labelledby="model-heading">
      <h2 id="model-heading">{words.model}</h2>
      <p className="model-title">{model.name}</p>
      <dl className="readings">
        <Reading
          name={words.parameters}
          value={formatParameters(model.parameterCount)}
          detail={words.ternary(formatPercent(model.ternaryParameterCount / model.parameterCount))}
        />
        <Reading name={words.file} value={formatBytes(model.fileBytes)} detail={model.packing} />
        <Reading name={words.backend} value={backend.name} detail={backend.description} />
        <Reading name={words.loadTime} value={formatDuration(loadMs)} />
      </dl>
    </section>
  )
}
