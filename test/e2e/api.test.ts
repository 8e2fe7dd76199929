/** The local API as it is started, with the model that ships, by the examples of its page. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TOKEN = 'tern-of-this-test'
const EXAMPLES = [...readFileSync(`${ROOT}docs/api.md`, 'utf8').matchAll(/```js\n([\s\S]*?)```/g)].map(
  ([, code]) => code,
)

let tern: ChildProcess
let url: string

const outputOf = (child: ChildProcess, until: (output: string) => boolean): Promise<string> =>
  new Promise((resolve, reject) => {
    let output = ''
    const read = (piece: Buffer) => {
      output += piece
      if (until(output)) resolve(output)
    }
    child.stdout!.on('data', read)
    child.stderr!.on('data', read)
    child.once('exit', code => reject(new Error(`ended with ${code}: ${output}`)))
  })

beforeAll(async () => {
  const args = ['main/launcher/tern.mjs', 'serve', '--api', '--token', TOKEN, '--backend', 'wasm']
  tern = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = await outputOf(tern, text => text.includes('Its key is'))
  url = /http:\/\/127\.0\.0\.1:\d+\/v1/.exec(output)![0]
}, 90_000)
afterAll(() => tern.kill('SIGTERM'))

const runExample = (code: string): Promise<{ exitCode: number | null; output: string }> =>
  new Promise(resolve => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: ROOT,
      env: { ...process.env, TERN_API_URL: url, TERN_API_KEY: TOKEN },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', piece => {
      output += piece
    })
    child.stderr.on('data', piece => {
      output += piece
    })
    child.once('close', exitCode => resolve({ exitCode, output }))
  })

describe('the local API', () => {
  it.each([
    [0, /Tern/],
    [1, /\w+ \w+ \w+/],
    [2, /\w+ \w+/],
  ])('example %i of docs/api.md runs', async (index, expected) => {
    const { exitCode, output } = await runExample(EXAMPLES[index])
    expect(output).toMatch(expected)
    expect(exitCode).toBe(0)
  })

  it('writes the same with the same seed, and reads no conversation twice', async () => {
    const client = new OpenAI({ baseURL: url, apiKey: TOKEN, maxRetries: 0 })
    const messages: OpenAI.ChatCompletionMessageParam[] = [
      { role: 'user', content: 'Tell me a short story about a fox.' },
    ]
    const ask = () =>
      client.chat.completions.create({ model: 'tern', messages, seed: 7, temperature: 1, max_tokens: 60 })
    const [one, two] = [await ask(), await ask()]
    expect(two.choices[0].message.content).toBe(one.choices[0].message.content)
    messages.push(
      { role: 'assistant', content: one.choices[0].message.content },
      { role: 'user', content: 'Thank you.' },
    )
    const { usage } = await ask()
    const read = usage!.prompt_tokens - usage!.prompt_tokens_details!.cached_tokens!
    expect(usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(60)
    expect(read).toBeLessThan(20)
  })

  it('ends at a stop string, which is not in the text', async () => {
    const client = new OpenAI({ baseURL: url, apiKey: TOKEN, maxRetries: 0 })
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Count from one to ten.' }]
    const whole = await client.chat.completions.create({ model: 'tern', messages, temperature: 0 })
    const text = whole.choices[0].message.content!
    const stop = text.slice(6, 9)
    const cut = await client.chat.completions.create({ model: 'tern', messages, temperature: 0, stop })
    expect(cut.choices[0]).toMatchObject({ finish_reason: 'stop' })
    expect(cut.choices[0].message.content).toBe(text.slice(0, text.indexOf(stop)))
  })
})
