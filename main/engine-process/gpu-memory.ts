/**
 * How much memory a graphics processor has free. WebGPU does not say, so this asks what the machine has: NVIDIA's own tool,
 * and the files of Linux' amdgpu driver. null: unknown; the device's own refusal then comes while the model loads.
 */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const TOOL_TIMEOUT_MS = 4000
/** The driver, the display and other programs need some of it in a moment. */
const RESERVE = 0.05

/** @param adapter vendor and name as WebGPU gives them */
export async function freeGpuMemoryBytes(adapter: { vendor: string; name: string }): Promise<number | null> {
  const freeBytes = /nvidia/i.test(adapter.vendor)
    ? await nvidiaFreeBytes(adapter.name)
    : /amd|radeon/i.test(adapter.vendor) && process.platform === 'linux'
      ? await amdFreeBytes()
      : null
  return freeBytes === null ? null : Math.floor(freeBytes * (1 - RESERVE))
}

async function nvidiaFreeBytes(name: string): Promise<number | null> {
  try {
    const query = ['--query-gpu=name,memory.free', '--format=csv,noheader,nounits']
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: TOOL_TIMEOUT_MS, windowsHide: true })
    return parseNvidiaSmi(stdout, name)
  } catch {
    return null
  }
}

/** Of the cards with this name (of all, when none has it) the one with the least: which of them it is, nobody says. */
export function parseNvidiaSmi(output: string, name: string): number | null {
  const cards = output
    .split('\n')
    .map(line => /^(.+),\s*(\d+)\s*$/.exec(line.trim()))
    .flatMap(match => (match === null ? [] : [{ name: match[1]!, freeBytes: Number(match[2]) * 2 ** 20 }]))
  const named = cards.filter(card => name.toLowerCase().includes(card.name.toLowerCase()))
  const candidates = named.length > 0 ? named : cards
  return candidates.length === 0 ? null : Math.min(...candidates.map(({ freeBytes }) => freeBytes))
}

const AMD_VENDOR_ID = '0x1002'

async function amdFreeBytes(folder = '/sys/class/drm'): Promise<number | null> {
  let largest: number | null = null
  try {
    for (const card of await readdir(folder)) {
      if (!/^card\d+$/.test(card)) continue
      const read = async (file: string) => (await readFile(`${folder}/${card}/device/${file}`, 'utf8')).trim()
      try {
        if ((await read('vendor')) !== AMD_VENDOR_ID) continue
        const freeBytes = Number(await read('mem_info_vram_total')) - Number(await read('mem_info_vram_used'))
        largest = Math.max(largest ?? 0, freeBytes)
      } catch {
        // A card of another driver.
      }
    }
  } catch {
    return null
  }
  return largest
}
