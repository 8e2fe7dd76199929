import { Component, type ReactNode } from 'react'
import { toErrorData } from '../../contract/errors.ts'
import { ErrorNotice } from '../ui/error-notice.tsx'
import { strings } from './strings.ts'

/** Catches what a broken component throws: the window says so and offers a reload; the host still holds the chats. */
export class CrashBoundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null as unknown }

  static getDerivedStateFromError(error: unknown) {
    return { error }
  }

  override render() {
    if (this.state.error === null) return this.props.children
    return (
      <main className="crash">
        <ErrorNotice
          heading={strings.crash.heading}
          error={{ ...toErrorData(this.state.error), remedy: strings.crash.body }}
        >
          <button type="button" className="primary-button" onClick={() => location.reload()}>
            {strings.crash.reload}
          </button>
        </ErrorNotice>
      </main>
    )
  }
}
