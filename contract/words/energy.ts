/** Power and energy, always with what they are of, how they were had, and how good they are. */
import * as v from 'valibot'

/** What a figure covers. `package`: a processor with its graphics; `system`: the whole machine. */
const powerScopeSchema = v.picklist(['package', 'dram', 'gpu', 'board', 'system'])
export type PowerScope = v.InferOutput<typeof powerScopeSchema>

/** `counter`: energy read before and after; `samples`: power read now and then. */
const powerMethodSchema = v.picklist(['counter', 'samples'])

/** `bound`: too short for what samples can see; the true figure may be far off. */
const energyQualitySchema = v.picklist(['measured', 'estimated', 'bound'])

/** Of one source now. */
export const powerReadingSchema = v.object({
  id: v.string(),
  scope: powerScopeSchema,
  /** As the machine calls it. */
  name: v.string(),
  method: powerMethodSchema,
  /** null: not known at this moment. */
  watts: v.nullable(v.number()),
})

/** A source that is there and cannot be read, and what opens it. */
export const closedSourceSchema = v.object({
  id: v.string(),
  scope: powerScopeSchema,
  name: v.string(),
  /** A command or a setting. */
  remedy: v.string(),
})
export type ClosedSource = v.InferOutput<typeof closedSourceSchema>

/** Of one reply, the reading of its question included. */
export const replyEnergySchema = v.object({
  joules: v.number(),
  /** What goes beyond the idle draw before it; null: that is not known. */
  aboveIdleJoules: v.nullable(v.number()),
  scope: powerScopeSchema,
  method: powerMethodSchema,
  quality: energyQualitySchema,
  /** From its first to its last reading. */
  windowMs: v.number(),
  /** The idle draw, and how old that is. */
  idle: v.nullable(v.object({ watts: v.number(), ageMs: v.number() })),
})
export type ReplyEnergy = v.InferOutput<typeof replyEnergySchema>
