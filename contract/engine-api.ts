/**
 * Host to engine process. The host sees text, token ids, opaque state bytes and figures, never a tensor.
 * A session is one sequence with its recurrent state; it lives in the engine process and dies with it, so the host
 * keeps state bytes (session.export) for whatever must survive.
 */
import { eventsPart } from './engine/events.ts'
import { modelPart } from './engine/model.ts'
import { sessionPart } from './engine/session.ts'
import { workPart } from './engine/work.ts'
import { mergeParts } from './parts.ts'

export const engineApi = mergeParts(eventsPart, modelPart, sessionPart, workPart)
export type EngineApi = typeof engineApi
