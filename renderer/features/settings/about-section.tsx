/** What this is, and which version. */
import { useEngine } from '../../app/stores.ts'
import { strings } from '../../app/strings.ts'
import { DASH } from '../../ui/units.ts'
import { Setting } from './setting.tsx'

export function AboutSection() {
  const version = useEngine(state => state.info?.version ?? null)
  const words = strings.settings.about
  return (
    <>
      <Setting
        name={strings.app.name}
        note={words.what}
        control={() => <span className="setting-value">{version ?? DASH}</span>}
      />
      <Setting name={words.privacy} note={words.privacyNote} control={() => null} />
    </>
  )
}
