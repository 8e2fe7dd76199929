/**
 * A Vulkan driver that computes on the processor, so that WebGPU can be tested on any machine: Mesa's lavapipe, else the
 * SwiftShader that Debian's Chromium carries, which is many times slower. Run as a program it prints the path of the first
 * one that gives Dawn an adapter: a process of its own, because a driver may crash and prints what it likes.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'

const DRIVERS = ['/usr/share/vulkan/icd.d/lvp_icd*.json', '/usr/lib/chromium*/vk_swiftshader_icd.json']

/** Takes a second. null: there is none that works. */
export function findSoftwareDriver(): string | null {
  const { stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: ['ignore', 'pipe', 'ignore'],
    encoding: 'utf8',
    timeout: 60_000,
  })
  const path = stdout.trim()
  return path === '' ? null : path
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.env.XDG_RUNTIME_DIR ??= tmpdir()
  const { create } = await import('webgpu')
  for (const path of DRIVERS.flatMap(pattern => globSync(pattern))) {
    process.env.VK_DRIVER_FILES = path
    // Debian 12's own lavapipe is there and gives none.
    const adapter = await create([]).requestAdapter()
    if (adapter === null) continue
    process.stdout.write(`${path}\n`)
    break
  }
  process.exit(0)
}
