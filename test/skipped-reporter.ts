/**
 * Writes what was skipped and why, a line a reason, for the last lines of `npm test`. The reason is what the test said when
 * it skipped itself, or stands in the name of the test or of its group.
 */
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { TestCase, TestModule } from 'vitest/node'

export default class SkippedReporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const path = process.env.TERN_TEST_SKIPPED
    if (path !== undefined) writeFileSync(path, JSON.stringify(modules.flatMap(skippedIn)))
  }
}

function skippedIn(module: TestModule): string[] {
  const counts = new Map<string, number>()
  for (const test of module.children.allTests('skipped')) {
    const why = reasonOf(test)
    counts.set(why, (counts.get(why) ?? 0) + 1)
  }
  const file = relative(process.cwd(), module.moduleId)
  return [...counts].map(([why, count]) => `${file}: ${why}, ${count} ${count === 1 ? 'test' : 'tests'}`)
}

function reasonOf(test: TestCase): string {
  const result = test.result()
  const note = result.state === 'skipped' ? result.note : undefined
  if (note !== undefined) return note
  // A group that was skipped as a whole says why in its name.
  const group = test.parent.type === 'suite' ? test.parent : null
  const isWhole = group !== null && [...group.children.allTests()].every(other => other.result().state === 'skipped')
  return isWhole ? group.fullName : test.fullName
}
