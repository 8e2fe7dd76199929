/** The window's entry: builds the stores, keeps them following the host, and draws the app. */
import './theme.css'
import './layout.css'
import '../ui/ui.css'
import '../features/chat/chat-list.css'
import '../features/chat/conversation.css'
import '../features/chat/prose.css'
import '../features/chat/empty.css'
import '../features/chat/composer.css'
import '../features/branches/branches.css'
import '../features/engine/engine.css'
import '../features/find/find.css'
import '../features/settings/settings.css'
import '../features/telemetry/telemetry.css'
import './media.css'
import { createRoot } from 'react-dom/client'
import { type Language, languageOf, speakLanguage } from '../language/language.ts'
import { createFrameSchedule } from '../stores/frame.ts'
import type { Memo, Preferences } from '../stores/preferences.ts'
import { followAddress, followTitle } from './address.ts'
import { App } from './app.tsx'
import { CrashBoundary } from './crash-boundary.tsx'
import { dial } from './dial.ts'
import { saveFile } from './save-file.ts'
import { createStores, StoresContext } from './stores.ts'

/** Where storage is refused (private windows, policy), settings last as long as the window. */
function memoOf(storage: () => Storage): Memo {
  try {
    return storage()
  } catch {
    const items = new Map<string, string>()
    return { getItem: key => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) }
  }
}

const stores = createStores({
  dial,
  schedule: createFrameSchedule(),
  save: saveFile,
  visibility: document,
  settingsMemo: memoOf(() => localStorage),
  windowMemo: memoOf(() => sessionStorage),
})

const languageNow = () => languageOf(stores.preferences.getState().language, navigator.languages)
const showLook = ({ theme, textSizePercent, reduceMotion }: Preferences) => {
  const { dataset, style } = document.documentElement
  if (theme === 'system') delete dataset.theme
  else dataset.theme = theme
  // In percent, so that it multiplies what the browser is set to.
  style.fontSize = textSizePercent === 100 ? '' : `${textSizePercent}%`
  dataset.motion = reduceMotion ? 'reduced' : 'full'
}
showLook(stores.preferences.getState())
speakLanguage(languageNow())

followAddress(stores.chats, stores.navigation, window)
followTitle(stores.chats, stores.connection, title => {
  document.title = title
})
stores.engine.start()
stores.storage.start()
stores.connection.state.subscribe(({ phase }) => {
  if (phase === 'open') stores.chats.refresh()
})
window.addEventListener('focus', () => {
  if (stores.connection.state.getState().phase !== 'open') stores.connection.retryNow()
})
window.addEventListener('online', () => stores.connection.retryNow())
window.addEventListener('pagehide', () => stores.chats.dispose())

const root = createRoot(document.getElementById('root')!)
let spoken: Language | null = null
/** Another language draws everything anew: whatever stands in stores stays. */
const draw = () => {
  const language = languageNow()
  if (language === spoken) return
  spoken = language
  speakLanguage(language)
  document.documentElement.lang = language
  root.render(
    <CrashBoundary key={language}>
      <StoresContext value={stores}>
        <App />
      </StoresContext>
    </CrashBoundary>,
  )
}
draw()
stores.preferences.subscribe(preferences => {
  showLook(preferences)
  draw()
})
window.addEventListener('languagechange', draw)
