/**
 * Renderer to host: what the window can ask for. The host holds the truth (chats, model, engine status); the renderer
 * may die or reload at any time and asks again.
 */
import { appPart } from './app/app.ts'
import { chatFilesPart } from './app/chat-files.ts'
import { chatsPart } from './app/chats.ts'
import { enginePart } from './app/engine.ts'
import { powerPart } from './app/power.ts'
import { statesPart } from './app/states.ts'
import { mergeParts } from './parts.ts'

export const appApi = mergeParts(appPart, enginePart, chatsPart, powerPart, statesPart, chatFilesPart)
export type AppApi = typeof appApi
