/**
 * The six zero-shot tasks of the MatMul-free paper as lm-evaluation-harness 0.4 asks them: rows of their files, as the hub
 * carries them or as first published, become contexts with choices.
 */
import * as v from 'valibot'
import { TernError } from '../../contract/errors.ts'

/** Of one item, the likeliest choice is the answer. */
export interface TaskItem {
  /** One for each choice; all the same but in Winogrande. */
  contexts: string[]
  /** What follows each context. */
  continuations: string[]
  /** Unicode characters of each choice, for acc_norm. */
  choiceLengths: number[]
  /** The right choice. */
  gold: number
}

export interface ZeroShotTask {
  title: string
  /** The harness gives acc_norm for it. */
  hasAccNorm: boolean
  /** Per cent right by guessing. */
  chance: number
  /** Of the 370M model, in per cent: the paper's figure, and an independent run of lm-evaluation-harness 0.4.11. */
  published: { paper: number; acc: number | null; accNorm: number | null }
  /** The split that the harness uses. */
  split: 'test' | 'validation'
  item(row: unknown): TaskItem
}

const text = v.string()
const index = v.pipe(
  v.union([v.number(), v.bigint(), v.pipe(v.string(), v.trim(), v.regex(/^\d+$/, 'expected a number'))]),
  v.transform(Number),
  v.integer(),
  v.minValue(0),
)
const rowChoices = v.object({ text: v.array(text), label: v.array(text) })
const listedChoices = v.pipe(
  v.array(v.object({ text, label: text })),
  v.transform(choices => ({ text: choices.map(choice => choice.text), label: choices.map(choice => choice.label) })),
)
const choicesSchema = v.union([rowChoices, listedChoices])

/** ARC: flat on the hub, nested as first published. */
const arcSchema = v.pipe(
  v.union([
    v.object({ question: text, choices: choicesSchema, answerKey: text }),
    v.object({ question: v.object({ stem: text, choices: choicesSchema }), answerKey: text }),
  ]),
  v.transform(row =>
    'choices' in row ? row : { question: row.question.stem, choices: row.question.choices, answerKey: row.answerKey },
  ),
)
const openBookSchema = v.pipe(
  v.union([
    v.object({ question_stem: text, choices: choicesSchema, answerKey: text }),
    v.object({ question: v.object({ stem: text, choices: choicesSchema }), answerKey: text }),
  ]),
  v.transform(row =>
    'choices' in row
      ? row
      : { question_stem: row.question.stem, choices: row.question.choices, answerKey: row.answerKey },
  ),
)
const hellaSwagSchema = v.object({
  activity_label: text,
  ctx_a: text,
  ctx_b: text,
  endings: v.array(text),
  label: index,
})
const piqaSchema = v.object({ goal: text, sol1: text, sol2: text, label: index })
const winograndeSchema = v.object({
  sentence: v.pipe(text, v.includes('_', 'expected a "_" in it')),
  option1: text,
  option2: text,
  answer: v.picklist(['1', '2']),
})

/** As Python's len counts them. */
const characters = (choice: string): number => [...choice].length

function choose(context: string, choices: readonly string[], gold: number): TaskItem {
  return {
    contexts: choices.map(() => context),
    continuations: choices.map(choice => ` ${choice}`),
    choiceLengths: choices.map(characters),
    gold,
  }
}

function arcItem(row: unknown): TaskItem {
  const { question, choices, answerKey } = v.parse(arcSchema, row)
  return choose(`Question: ${question}\nAnswer:`, choices.text, choices.label.indexOf(answerKey))
}

/** Brackets are left over from the pages that HellaSwag was made of. */
const cleaned = (raw: string): string =>
  raw
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ')

/** As Python's str.capitalize: the rest becomes small. */
const capitalized = (raw: string): string => {
  const [first = '', ...rest] = raw
  return first.toUpperCase() + rest.join('').toLowerCase()
}

function hellaSwagItem(row: unknown): TaskItem {
  const { activity_label, ctx_a, ctx_b, endings, label } = v.parse(hellaSwagSchema, row)
  return choose(cleaned(`${activity_label}: ${ctx_a} ${capitalized(ctx_b)}`), endings.map(cleaned), label)
}

function openBookItem(row: unknown): TaskItem {
  const { question_stem, choices, answerKey } = v.parse(openBookSchema, row)
  return choose(question_stem, choices.text, choices.label.indexOf(answerKey.trimStart()))
}

function piqaItem(row: unknown): TaskItem {
  const { goal, sol1, sol2, label } = v.parse(piqaSchema, row)
  return choose(`Question: ${goal}\nAnswer:`, [sol1, sol2], label)
}

/** The option is put into the blank, and what follows the blank is scored. */
function winograndeItem(row: unknown): TaskItem {
  const { sentence, option1, option2, answer } = v.parse(winograndeSchema, row)
  const blank = sentence.indexOf('_')
  const contexts = [option1, option2].map(option => sentence.slice(0, blank) + option)
  const rest = ` ${sentence.slice(blank + 1).trim()}`
  return {
    contexts,
    continuations: [rest, rest],
    choiceLengths: contexts.map(characters),
    gold: answer === '1' ? 0 : 1,
  }
}

export const ZERO_SHOT_TASKS = {
  arc_easy: {
    title: 'ARC-easy',
    hasAccNorm: true,
    chance: 25,
    published: { paper: 42.6, acc: 42.1, accNorm: 38.6 },
    split: 'test',
    item: arcItem,
  },
  arc_challenge: {
    title: 'ARC-challenge',
    hasAccNorm: true,
    chance: 25,
    published: { paper: 23.8, acc: null, accNorm: 23.4 },
    split: 'test',
    item: arcItem,
  },
  hellaswag: {
    title: 'HellaSwag',
    hasAccNorm: true,
    chance: 25,
    published: { paper: 32.8, acc: null, accNorm: 32.8 },
    split: 'validation',
    item: hellaSwagItem,
  },
  openbookqa: {
    title: 'OpenbookQA',
    hasAccNorm: true,
    chance: 25,
    published: { paper: 28.4, acc: null, accNorm: 28.0 },
    split: 'test',
    item: openBookItem,
  },
  piqa: {
    title: 'PIQA',
    hasAccNorm: true,
    chance: 50,
    published: { paper: 63.0, acc: null, accNorm: null },
    split: 'validation',
    item: piqaItem,
  },
  winogrande: {
    title: 'Winogrande',
    hasAccNorm: false,
    chance: 50,
    published: { paper: 49.2, acc: 48.7, accNorm: null },
    split: 'validation',
    item: winograndeItem,
  },
} as const satisfies Record<string, ZeroShotTask>
export type ZeroShotTaskName = keyof typeof ZERO_SHOT_TASKS

export const isZeroShotTask = (name: string): name is ZeroShotTaskName => Object.hasOwn(ZERO_SHOT_TASKS, name)

/** Items of the rows of a file; `path` is for messages. Throws `format-invalid` with the row that is wrong. */
export function taskItems(name: ZeroShotTaskName, rows: readonly unknown[], path: string): TaskItem[] {
  if (rows.length === 0) throw invalidRow(name, path, 'no rows')
  return rows.map((row, i) => {
    let item: TaskItem
    try {
      item = ZERO_SHOT_TASKS[name].item(row)
    } catch (error) {
      if (!(error instanceof v.ValiError)) throw error
      const [issue] = error.issues
      throw invalidRow(name, path, `row ${i + 1}, ${v.getDotPath(issue) ?? 'whole'}: ${issue.message}`)
    }
    if (item.gold < 0 || item.gold >= item.continuations.length) {
      throw invalidRow(name, path, `row ${i + 1}: the right answer is none of the choices`)
    }
    return item
  })
}

const invalidRow = (name: ZeroShotTaskName, path: string, actual: string): TernError =>
  new TernError({
    code: 'format-invalid',
    message: `${path} holds no items of ${ZERO_SHOT_TASKS[name].title}.`,
    expected: `the ${ZERO_SHOT_TASKS[name].split} split of ${name} with its answers, as JSON lines or Parquet`,
    actual,
    remedy: 'Check that the file is of this task and has the answers in it.',
  })
