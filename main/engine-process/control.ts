/**
 * The few messages between supervisor and engine process beside the RPC: they share its channel, and RPC ignores them
 * as it ignores everything that its schema does not know.
 */
import * as v from 'valibot'

const controlSchema = v.variant('control', [
  /** Engine process: loaded, answers calls. */
  v.object({ control: v.literal('ready') }),
  /** Supervisor: is your event loop alive? Asked only after a long silence while work is in flight. */
  v.object({ control: v.literal('ping') }),
  v.object({ control: v.literal('pong') }),
  /** Supervisor: cancel everything, remove unfinished files, exit. */
  v.object({ control: v.literal('shutdown') }),
])
export type ControlMessage = v.InferOutput<typeof controlSchema>

export function parseControl(message: unknown): ControlMessage | null {
  const parsed = v.safeParse(controlSchema, message)
  return parsed.success ? parsed.output : null
}
