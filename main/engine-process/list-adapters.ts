/**
 * Prints this machine's graphics processors as JSON. A process of its own: drivers print to the terminal, and may crash
 * when they are only looked at.
 */
import { findAdapters } from './webgpu-device.ts'

process.stdout.write(JSON.stringify(await findAdapters()))
// Dawn would keep the process alive.
process.exit(0)
