/**
 * `npm test`: types, lint and all tests on a fresh machine, with one honest last line. Installs the Debian packages that
 * the tests need when it may (root and apt-get); else says the line to run, and the tests that need them are skipped.
 * In continuous integration (CI is set) a missing package is a failure. Plain JavaScript, for Node 20 and newer.
 * Arguments go to vitest: `npm test -- test/unit`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { underNode24 } from '../main/launcher/node24.mjs'
import { installSoftwareDriver } from './install-software-driver.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const say = line => process.stdout.write(`${line}\n`)

await underNode24(import.meta.url, async () => {
  const inCi = ![undefined, '', '0', 'false'].includes(process.env.CI)
  // The Node that runs this is the one that npm scripts and the tests' child processes must find first.
  const folders = [dirname(process.execPath), join(root, 'node_modules', '.bin'), process.env.PATH]
  process.env.PATH = folders.join(delimiter)

  const missing = [
    ['the end-to-end tests need Chromium.', await installBrowser()],
    ['the WebGPU tests need a software GPU.', await installSoftwareDriver(say)],
    ['the gateware tests need simulators and a prover.', installSimulators()],
  ].flatMap(([what, how]) => (how === null ? [] : [`${what} ${how}`]))
  const isClean = checkSources()
  const tests = runTests(process.argv.slice(2))

  say('')
  if (!isClean) say('Types or lint failed (npm run check): see above.')
  for (const line of tests?.skippedGroups ?? []) say(`Skipped: ${line}`)
  for (const line of missing) say(`${inCi ? 'Failed' : 'Skipped'}: ${line}`)
  if (tests?.failed === 0 && !tests.isSuccess) say('Something outside the tests failed: see above.')
  if (tests === null) say('The tests did not run to their end: see above.')
  else say(`${tests.passed} passed, ${tests.failed} failed, ${tests.skipped} skipped`)
  process.exitCode = isClean && tests?.isSuccess && !(inCi && missing.length > 0) ? 0 : 1
})

/** Sees to a Chromium for the end-to-end tests. Returns null, or the sentence that says how to get it. */
async function installBrowser() {
  const { findChromium } = await import('./chromium.ts')
  if (findChromium() !== null) return null
  if (process.env.TERN_CHROMIUM) return `The variable TERN_CHROMIUM names no program: ${process.env.TERN_CHROMIUM}`
  if (process.platform !== 'linux' || !hasCommand('apt-get')) {
    return 'Install Chromium or Chrome, or name one in the variable TERN_CHROMIUM.'
  }
  if (process.getuid?.() === 0) {
    say('Installing the Debian package chromium for the end-to-end tests ...')
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    const aptGet = args => spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0
    // Package lists may be old or absent; when refreshing them fails, what is known may still do.
    aptGet(['update', '-qq'])
    aptGet(['install', '-y', '-qq', '--no-install-recommends', 'chromium'])
    if (findChromium() !== null) return null
  }
  return 'Run: sudo apt-get update && sudo apt-get install -y chromium'
}

/** Sees to what simulates and proves the gateware. Returns null, or the sentence that says how to get it. */
function installSimulators() {
  const packages = {
    verilator: 'verilator',
    iverilog: 'iverilog',
    yosys: 'yosys',
    z3: 'z3',
    'g++': 'g++',
    make: 'make',
  }
  const missing = () => Object.keys(packages).filter(command => !hasCommand(command))
  if (missing().length === 0) return null
  const names = missing().map(command => packages[command])
  if (process.platform === 'linux' && process.getuid?.() === 0 && hasCommand('apt-get')) {
    say(`Installing the Debian packages ${names.join(', ')} for the gateware tests ...`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    const aptGet = args => spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0
    aptGet(['update', '-qq'])
    aptGet(['install', '-y', '-qq', '--no-install-recommends', ...names])
    if (missing().length === 0) return null
  }
  return `Run: sudo apt-get update && sudo apt-get install -y ${names.join(' ')}`
}

function hasCommand(name) {
  return spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined
}

/** `npm run check`, through the npm that runs us where there is one. */
function checkSources() {
  const npm = process.env.npm_execpath
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []]
  const run = spawnSync(command, [...args, 'run', '--silent', 'check'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32' && command === 'npm',
  })
  return run.status === 0
}

/** What the skipped reporter wrote; a run that ended before it could write says so instead of hiding its own result. */
function readSkipped(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : ['reasons unknown: the run ended early']
}

/**
 * Runs vitest and counts from its own report. A test file that cannot be loaded counts as one failure, an error outside
 * all tests makes the run a failure. Returns null when there is no report.
 */
function runTests(args) {
  const folder = mkdtempSync(join(tmpdir(), 'tern-test-'))
  const reportPath = join(folder, 'report.json')
  try {
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
    const skippedPath = join(folder, 'skipped.json')
    const skippedReporter = join(root, 'test', 'skipped-reporter.ts')
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportPath}`]
    const run = spawnSync(process.execPath, [vitest, 'run', ...reporters, `--reporter=${skippedReporter}`, ...args], {
      cwd: root,
      env: { ...process.env, TERN_TEST_SKIPPED: skippedPath },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const report = JSON.parse(readFileSync(reportPath, 'utf8'))
    const unloadable = report.testResults.filter(file => file.status === 'failed' && file.assertionResults.length === 0)
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + unloadable.length,
      skipped: report.numPendingTests + report.numTodoTests,
      // Names given on the command line skip all other tests, which is nobody's news.
      skippedGroups: args.some(arg => /^(-t|--testNamePattern)/.test(arg)) ? [] : readSkipped(skippedPath),
      isSuccess: run.status === 0,
    }
  } catch (error) {
    say(String(error))
    return null
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
