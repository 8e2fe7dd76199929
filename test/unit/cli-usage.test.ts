/** What `tern` says of itself, and to wrong usage: nothing of it needs an engine. */
import { describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { ternInProcess } from '../tern-in-process.ts'

const tern = (args: string[]) =>
  ternInProcess(args, { connectEngine: () => Promise.reject(new Error('No engine was to be asked.')) })

describe('help and usage', () => {
  const commands = ['chat', 'run', 'convert', 'info', 'fpga', 'eval', 'bench', 'serve', 'selftest', 'watch']

  it('lists every command', async () => {
    const { code, stdout } = await tern(['--help'])
    expect(code).toBe(0)
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'))
  })

  it.each(commands)('%s --help shows examples', async command => {
    const { code, stdout } = await tern([command, '--help'])
    expect(code).toBe(0)
    expect(stdout).toContain(`Usage: tern ${command}`)
    expect(stdout).toContain(`\n  tern ${command}`)
  })

  it('--version is that of the package', async () => {
    expect(await tern(['--version'])).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' })
  })

  it.each([
    { args: [], says: 'Usage: tern' },
    { args: ['fly'], says: "unknown command 'fly'" },
    { args: ['run', '--speed', '3'], says: "unknown option '--speed'" },
    { args: ['run', '-p', 'x', '--top-p', '1.5'], says: 'from 0 to 1' },
    { args: ['run', '-p', 'x', '--max-tokens', '2.5'], says: 'a whole number from 0' },
    { args: ['run', '-p', 'x', '--threads', '0'], says: 'from 1 to 64' },
    { args: ['run', '-p', 'x', '--backend', 'abacus'], says: 'reference' },
    { args: ['run', '-p', 'x', '--logit-bias', 'x=1'], says: '42=-5' },
    { args: ['run', '-p', 'x', '--raw', '--system', 'y'], says: '--system needs the chat template' },
    { args: ['run', '-p', 'x', '--state-in', 'y'], says: 'add --raw' },
    { args: ['run'], says: 'stdin is empty' },
    { args: ['eval'], says: 'one of --text FILE, --ids' },
    { args: ['eval', '--text', 'a', '--ids', 'b'], says: 'one of --text FILE, --ids' },
    { args: ['eval', '--text', 'a', '--prompts', 'b'], says: 'one of --text FILE, --ids' },
    { args: ['eval', '--text', 'a', '--seed', '1'], says: 'go with --prompts' },
    { args: ['eval', '--text', 'a', '--greedy'], says: 'go with --prompts' },
    { args: ['eval', '--prompts', 'a', '--save-logits', 'b'], says: 'goes with --text or --ids' },
    { args: ['run', '-p', 'x', ...Array(65).fill('--stop=a')], says: 'at most 64' },
    { args: ['run', '-p', 'x', '--seed', '9007199254740992'], says: 'to 9007199254740991' },
    { args: ['run', '-p', 'x', '--top-k', '-1'], says: 'from 0 to 9007199254740991' },
    { args: ['run', 'a story'], says: 'the prompt goes with -p TEXT' },
    { args: ['run', '-p', 'x', '--force'], says: '--force goes with --state-out' },
    { args: ['run', '-p', 'x', '-m', ''], says: 'Expected a path' },
    { args: ['run', '-p', 'x', '--state-out', 'folder/'], says: 'folder/ names a folder' },
    { args: ['bench', '--decode-tokens', '9007199254740991'], says: 'from 1 to 1000000' },
    { args: ['bench', '--prefill-tokens', '500000000'], says: 'from 1 to 1000000' },
    { args: ['convert', '', 'out'], says: 'Expected a path' },
    { args: ['convert', 'in', 'out/'], says: 'out/ names a folder' },
    { args: ['info', ''], says: 'Expected a path' },
    { args: ['\x1b[2J'], says: '\\x1b[2J' },
    { args: ['convert', 'in'], says: "missing required argument 'out'" },
  ])('wrong usage ends with 2: $args', async ({ args, says }) => {
    const { code, stdout, stderr } = await tern(args)
    expect(stderr).toContain(says)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })
})
