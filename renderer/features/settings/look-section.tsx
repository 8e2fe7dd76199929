/** How the window looks: this window's own settings. */
import { usePreferences, useStores } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { MAX_TEXT_SIZE_PERCENT, MIN_TEXT_SIZE_PERCENT } from '../../stores/preferences.ts'
import { formatPercent } from '../../ui/units.ts'
import { Segments, Setting, Switch } from './setting.tsx'

const STEP_PERCENT = 10

function choicesOf<const T extends string>(labels: Readonly<Record<T, string>>, values: readonly T[]) {
  return values.map(value => ({ value, label: labels[value] }))
}

export function LookSection() {
  const { preferences } = useStores()
  const { language, theme, textSizePercent, reduceMotion } = usePreferences(state => state)
  const words = strings.settings.look
  return (
    <>
      <Setting
        name={words.language}
        note={words.languageNote}
        control={({ labelId }) => (
          <Segments
            value={language}
            labelId={labelId}
            choices={choicesOf(words.languages, ['system', 'en', 'de'])}
            onChange={value => preferences.setState({ language: value })}
          />
        )}
      />
      <Setting
        name={words.theme}
        control={({ labelId }) => (
          <Segments
            value={theme}
            labelId={labelId}
            choices={choicesOf(words.themes, ['system', 'light', 'dark'])}
            onChange={value => preferences.setState({ theme: value })}
          />
        )}
      />
      <Setting
        name={words.textSize}
        note={words.textSizeNote}
        control={() => <span className="setting-value">{formatPercent(textSizePercent / 100)}</span>}
      >
        <div className="text-size">
          <span aria-hidden="true">Aa</span>
          <input
            type="range"
            aria-label={words.textSize}
            aria-valuetext={formatPercent(textSizePercent / 100)}
            min={MIN_TEXT_SIZE_PERCENT}
            max={MAX_TEXT_SIZE_PERCENT}
            step={STEP_PERCENT}
            value={textSizePercent}
            onChange={event => preferences.setState({ textSizePercent: event.target.valueAsNumber })}
          />
          <span aria-hidden="true">Aa</span>
        </div>
      </Setting>
      <Setting
        name={words.reduceMotion}
        note={words.reduceMotionNote}
        control={({ labelId, noteId }) => (
          <Switch
            isOn={reduceMotion}
            labelId={labelId}
            noteId={noteId}
            onChange={isOn => preferences.setState({ reduceMotion: isOn })}
          />
        )}
      />
    </>
  )
}
