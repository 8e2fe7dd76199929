/** What can be asked for at the start of the app, from the terminal: the same for both shells. Starts nothing. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { type BackendChoice, backendChoiceSchema } from '../../contract/words/backend.ts'

export interface StartOptions {
  browser: boolean
  open: boolean
  help: boolean
  port?: number
  modelPath?: string
  threads?: number
  backend?: BackendChoice
  adapter?: string
}

export const START_HELP = `Usage: npm start -- [options]

Opens Tern in its own window, or in your browser where Electron cannot run.

  --browser        use the browser, do not try Electron
  --model PATH     a GGUF file or a Hugging Face folder (default: the model that comes with Tern)
  --backend NAME   what computes: auto, wasm, webgpu or reference (default: auto, the fastest by a short measurement)
  --adapter NAME   graphics processor: auto, discrete, integrated, or a part of its name
  --threads N      compute threads (default: as many as the machine has)
  --port N         port of the browser's page on 127.0.0.1 (default: any free one)
  --no-open        print the page's address, do not open a browser
  -h, --help       print this
`

/** Throws an Error with one sentence for the user when an argument is unknown or out of range. */
export function parseStartOptions(args: readonly string[]): StartOptions {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      browser: { type: 'boolean', default: false },
      open: { type: 'boolean', default: true },
      help: { type: 'boolean', short: 'h', default: false },
      port: { type: 'string' },
      model: { type: 'string' },
      threads: { type: 'string' },
      backend: { type: 'string' },
      adapter: { type: 'string' },
    },
  })
  const options: StartOptions = { browser: values.browser, open: values.open, help: values.help }
  if (values.port !== undefined) options.port = wholeNumber('--port', values.port, 0, 65_535)
  if (values.threads !== undefined) options.threads = wholeNumber('--threads', values.threads, 1, 64)
  if (values.backend !== undefined) options.backend = backendChoice(values.backend)
  if (values.adapter) options.adapter = values.adapter
  if (values.model !== undefined) {
    options.modelPath = resolve(values.model)
    if (!existsSync(options.modelPath)) throw new Error(`--model: ${options.modelPath} does not exist.`)
  }
  return options
}

function backendChoice(text: string): BackendChoice {
  const parsed = v.safeParse(backendChoiceSchema, text)
  if (parsed.success) return parsed.output
  throw new Error(`--backend: expected ${backendChoiceSchema.options.join(', ')}, not "${text}".`)
}

function wholeNumber(option: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < minimum || value > maximum) {
    throw new Error(`${option}: expected a whole number from ${minimum} to ${maximum}, not "${text}".`)
  }
  return value
}
