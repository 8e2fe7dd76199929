/** A machine of files and of what programs print, as it was recorded; a file may change with time. */
import type { PowerMachine } from '../main/services/telemetry/ports.ts'

export type Tree = Record<string, string | 'EACCES' | (() => string)>

export function machineOf(platform: NodeJS.Platform, tree: Tree, programs: Record<string, string> = {}): PowerMachine {
  return {
    platform,
    async list(path) {
      const inner = Object.keys(tree).filter(file => file.startsWith(`${path}/`))
      return [...new Set(inner.map(file => file.slice(path.length + 1).split('/')[0]))]
    },
    async readText(path) {
      const text = tree[path]
      if (text === undefined) throw Object.assign(new Error('none'), { code: 'ENOENT' })
      if (text === 'EACCES') throw Object.assign(new Error('forbidden'), { code: 'EACCES' })
      return typeof text === 'string' ? text : text()
    },
    run: async command => programs[command] ?? null,
  }
}
