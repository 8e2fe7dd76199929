/** Opens a URL in the system's browser, where there is a screen to show it on. Never waits for the browser to end. */
import { spawn } from 'node:child_process'

/** Why no browser is opened here, or null. */
export function noBrowserReason(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string | null {
  if (env.CI) return 'CI is set'
  const hasScreen = platform === 'darwin' || platform === 'win32' || env.DISPLAY || env.WAYLAND_DISPLAY
  return hasScreen ? null : 'there is no display'
}

/** Fire and forget: a system without an opener leaves the user with the printed URL. */
export function openBrowser(url: string, platform = process.platform): void {
  const [command, ...args] =
    platform === 'darwin'
      ? ['open', url]
      : platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler', url]
        : ['xdg-open', url]
  const child = spawn(command!, args, { stdio: 'ignore', detached: true })
  child.on('error', () => {})
  child.unref()
}
