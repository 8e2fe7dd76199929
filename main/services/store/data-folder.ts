/** Where Tern keeps what is the user's: chats and states. Caches are elsewhere (engine-process/conversion-cache.ts). */
import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'

/** The system's place for an app's data; the variable TERN_HOME overrides it. */
export function dataFolder(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  if (env.TERN_HOME) return resolve(env.TERN_HOME)
  if (platform === 'win32') return join(env.APPDATA || join(home, 'AppData', 'Roaming'), 'Tern')
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'Tern')
  // The convention says that a relative path is to be ignored.
  const shared = env.XDG_DATA_HOME && isAbsolute(env.XDG_DATA_HOME) ? env.XDG_DATA_HOME : join(home, '.local', 'share')
  return join(shared, 'tern')
}

/** Makes it, for its owner alone, where it is not there yet. Throws what the system says. */
export async function makeDataFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
}
