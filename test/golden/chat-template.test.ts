/** Chat templates against Jinja2 in the environment of Hugging Face transformers. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { compileChatTemplate } from '../../engine/tokenizer/chat-template.ts'

const messages = v.array(v.object({ role: v.string(), content: v.string() }))
const templatesSchema = v.array(
  v.object({
    name: v.string(),
    source: v.string(),
    cases: v.array(
      v.object({
        messages,
        addGenerationPrompt: v.boolean(),
        text: v.optional(v.string()),
        refusal: v.optional(v.string()),
      }),
    ),
  }),
)
const path = fileURLToPath(new URL('./data/chat-templates/templates.json', import.meta.url))
const templates = v.parse(templatesSchema, JSON.parse(await readFile(path, 'utf8')))

describe.each(templates)('the template $name', ({ source, cases }) => {
  it.each(cases)('renders $messages.length messages ($addGenerationPrompt) as Jinja does', golden => {
    const template = compileChatTemplate(source, { now: () => new Date(2026, 2, 7, 9, 5, 3) })
    const render = () =>
      template.render(golden.messages, {
        addGenerationPrompt: golden.addGenerationPrompt,
        bosToken: '<s>',
        eosToken: '</s>',
        specialTokens: new Map([
          ['<s>', 1],
          ['</s>', 2],
          ['<|user|>', 3],
          ['<|im_end|>', 4],
        ]),
      })
    if (golden.refusal !== undefined) {
      expect(render).toThrow(expect.objectContaining({ code: 'template-invalid', actual: golden.refusal }))
      return
    }
    expect(render().text).toBe(golden.text)
    expect(
      render()
        .segments.map(segment => segment.text)
        .join(''),
    ).toBe(golden.text)
  })
})
