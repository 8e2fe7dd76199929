/** Frames over a stream between two processes: what a peer that is hostile, deaf or gone may do to the other. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { encodeFrame } from '../../contract/frames.ts'
import { frameTransport } from '../../main/engine-process/frame-transport.ts'
import { engineChild } from '../../main/host/engine-child.ts'
import type { ProcessExit } from '../../main/host/supervisor.ts'
import { settled } from '../test-time.ts'

function rig(maxBacklogBytes?: number) {
  const [near, far] = duplexPair()
  const transport = frameTransport(near, maxBacklogBytes)
  const received: unknown[] = []
  let closes = 0
  transport.onMessage(message => received.push(message))
  transport.onClose(() => closes++)
  return { transport, far, near, received, closes: () => closes }
}

describe('a transport of frames', () => {
  it('carries messages and bytes both ways, in order', async () => {
    const { transport, far, received } = rig()
    const other = frameTransport(far)
    const arrived: unknown[] = []
    other.onMessage(message => arrived.push(message))
    for (let i = 0; i < 20; i++) transport.send({ i, bytes: new Uint8Array([i]) })
    other.send('back')
    await settled()
    expect(arrived).toEqual(Array.from({ length: 20 }, (_, i) => ({ i, bytes: new Uint8Array([i]) })))
    expect(received).toEqual(['back'])
  })

  it('is closed by what is no frame, tells that once, and hears and says nothing more', async () => {
    const { transport, far, near, received, closes } = rig()
    for (const piece of encodeFrame('before')) far.write(piece)
    far.write(new Uint8Array(8).fill(255))
    for (const piece of encodeFrame('after')) far.write(piece)
    await settled()
    expect(received).toEqual(['before'])
    expect(closes()).toBe(1)
    expect(near.destroyed).toBe(true)
    transport.send('nobody hears this')
    await settled()
    expect(closes()).toBe(1)
  })

  it('is closed when the other side ends, in the middle of a frame too', async () => {
    for (const bytes of [new Uint8Array(0), encodeFrame('cut off')[0]!]) {
      const { far, received, closes } = rig()
      far.end(bytes)
      await settled()
      expect(closes()).toBe(1)
      expect(received).toEqual([])
    }
  })

  it('gives up a side that does not read before its backlog grows beyond the limit', async () => {
    const limit = 1024 * 1024
    const { transport, near, closes } = rig(limit)
    const message = { bytes: new Uint8Array(64 * 1024) }
    let largest = 0
    for (let i = 0; i < 100 && closes() === 0; i++) {
      transport.send(message)
      largest = Math.max(largest, near.writableLength)
    }
    expect(closes()).toBe(1)
    // One message may stand on top of it.
    expect(largest).toBeLessThan(limit + 2 * message.bytes.byteLength)
  })

  it('carries any amount to a side that reads', async () => {
    const { transport, far, closes } = rig(1024 * 1024)
    const other = frameTransport(far)
    let bytes = 0
    other.onMessage(message => (bytes += (message as { part: Uint8Array }).part.byteLength))
    for (let i = 0; i < 64; i++) {
      transport.send({ part: new Uint8Array(256 * 1024) })
      await settled()
    }
    expect(bytes).toBe(64 * 256 * 1024)
    expect(closes()).toBe(0)
  })
})

describe('a child', () => {
  const run = async (script: string): Promise<ProcessExit> => {
    const folder = mkdtempSync(join(tmpdir(), 'tern-child-'))
    const entry = join(folder, 'child.mjs')
    writeFileSync(entry, script)
    try {
      const child = engineChild({ nodePath: process.execPath, entry })()
      return await new Promise(resolve => child.onExit(resolve))
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
  const LIVES_ON = `setInterval(() => {}, 1000); process.on('SIGTERM', () => {});`

  it('that says what is no frame is ended, whatever it would rather do', async () => {
    expect(await run(`import { writeSync } from 'node:fs'; writeSync(3, 'x'.repeat(64)); ${LIVES_ON}`)).toEqual({
      code: null,
      signal: 'SIGKILL',
    })
  })

  it('that closes its channel and ends by itself is told by its own exit code', async () => {
    expect(
      await run(`import { closeSync } from 'node:fs'; closeSync(3); setTimeout(() => process.exit(7), 50)`),
    ).toEqual({ code: 7, signal: null })
  })
})
