/** The settings: sections in one page, in two columns where there is room. */
import type { ComponentType } from 'react'
import { strings } from '../../app/strings.ts'
import { AboutSection } from './about-section.tsx'
import { DataSection } from './data-section.tsx'
import { LookSection } from './look-section.tsx'

interface SettingsSection {
  id: string
  heading: () => string
  Body: ComponentType
}

/** In the order in which they stand. */
const SECTIONS: readonly SettingsSection[] = [
  { id: 'look', heading: () => strings.settings.look.heading, Body: LookSection },
  { id: 'data', heading: () => strings.settings.data.heading, Body: DataSection },
  { id: 'about', heading: () => strings.settings.about.heading, Body: AboutSection },
]

export function Settings() {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
    <section className="settings" tabIndex={0} aria-label={strings.settings.heading}>
      <div className="settings-sections">
        {SECTIONS.map(({ id, heading, Body }) => (
          <section key={id} className="settings-section" aria-labelledby={`settings-${id}`}>
            <h2 id={`settings-${id}`}>{heading()}</h2>
            <Body />
          </section>
        ))}
      </div>
    </section>
  )
}
