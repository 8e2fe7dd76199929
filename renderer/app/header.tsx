import { PowerGauge } from '../features/telemetry/power.tsx'
import { nextTheme } from '../stores/preferences.ts'
import { IconButton } from '../ui/icon-button.tsx'
import type { Region } from './app.tsx'
import { ChatTitle } from './chat-title.tsx'
import { placeRow } from './places.tsx'
import { useConnection, useEngine, useNavigation, usePreferences, useStores } from './stores.ts'
import { strings } from './strings.ts'

const THEME_ICON = { system: 'system', light: 'sun', dark: 'moon' } as const

interface HeaderProps {
  isOpen: Record<Region, boolean>
  onToggle(region: Region): void
  onShowShortcuts(): void
}

/** The line above the conversation: its title, the model, and what folds. */
export function Header({ isOpen, onToggle, onShowShortcuts }: HeaderProps) {
  const { preferences, chats, navigation } = useStores()
  const place = placeRow(useNavigation(state => state.place))
  const theme = usePreferences(state => state.theme)
  const words = strings.header
  const toggle = (region: 'chats' | 'instruments', show: string, hide: string) => (
    <IconButton
      icon={region}
      label={isOpen[region] ? hide : show}
      aria-expanded={isOpen[region]}
      data-toggles={region}
      onClick={() => onToggle(region)}
    />
  )
  return (
    <header className="header">
      {toggle('chats', words.showChats, words.hideChats)}
      {isOpen.chats ? null : (
        <IconButton
          icon="plus"
          label={strings.chats.newChat}
          onClick={() => {
            chats.newChat()
            navigation.go('chat')
          }}
        />
      )}
      {place === null ? (
        <ChatTitle />
      ) : (
        <div className="header-title">
          <h1>{place.label()}</h1>
        </div>
      )}
      {place === null ? <PowerGauge onOpen={() => (isOpen.instruments ? undefined : onToggle('instruments'))} /> : null}
      <ModelName />
      <IconButton
        className="header-theme"
        icon={THEME_ICON[theme]}
        label={words.theme[theme]}
        onClick={() => preferences.setState({ theme: nextTheme(theme) })}
      />
      <IconButton className="header-shortcuts" icon="keyboard" label={words.shortcuts} onClick={onShowShortcuts} />
      {place === null ? toggle('instruments', words.showInstruments, words.hideInstruments) : null}
    </header>
  )
}

function ModelName() {
  const connected = useConnection(state => state.phase === 'open')
  const phase = useEngine(state => state.status?.phase ?? 'starting')
  const name = useEngine(state =>
    state.status?.phase === 'loading' ? state.status.modelName : (state.lastLoaded?.model.name ?? null),
  )
  const backend = useEngine(state => state.lastLoaded?.backend.name ?? null)
  if (name === null && phase !== 'failed') return null
  return (
    <p className="model-name" data-phase={connected ? phase : 'lost'}>
      <span className="model-dot" aria-hidden="true" />
      {phase === 'failed' ? strings.header.noModel : name}
      {phase === 'failed' || backend === null ? null : <span className="model-backend">{backend}</span>}
    </p>
  )
}
