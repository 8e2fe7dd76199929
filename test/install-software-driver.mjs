/**
 * Sees to a software Vulkan driver for the WebGPU tests: the distribution's mesa-vulkan-drivers, on Debian 12 those of its
 * backports, because its own give WebGPU no adapter. The mirror is the one that the machine's apt uses already; its lists
 * and sources stay as they are. Plain JavaScript, for Node 20 and newer.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PACKAGES = ['libvulkan1', 'mesa-vulkan-drivers']
const BACKPORTS_RELEASE = 'bookworm'

/** Returns null, or the sentence that says how to get one. */
export async function installSoftwareDriver(say) {
  const { findSoftwareDriver } = await import('./software-driver.ts')
  if (findSoftwareDriver() !== null) return null
  if (process.platform !== 'linux' || !hasAptGet()) {
    return "Install Mesa's lavapipe (a Vulkan driver on the processor) and the Vulkan loader."
  }
  const needsBackports = codename() === BACKPORTS_RELEASE
  if (process.getuid?.() === 0) {
    say(`Installing the Debian packages ${PACKAGES.join(' and ')} for the WebGPU tests ...`)
    if (needsBackports) installFromBackports()
    else {
      aptGet(['update', '-qq'])
      aptGet(['install', '-y', '-qq', '--no-install-recommends', ...PACKAGES])
    }
    if (findSoftwareDriver() !== null) return null
  }
  const install = `sudo apt-get update && sudo apt-get install -y ${needsBackports ? `-t ${BACKPORTS_RELEASE}-backports ` : ''}${PACKAGES.join(' ')}`
  return needsBackports ? `With ${BACKPORTS_RELEASE}-backports among apt's sources, run: ${install}` : `Run: ${install}`
}

/** With sources and lists of its own, which go afterwards. */
function installFromBackports() {
  // What a mirror calls its release is known when its lists are.
  aptGet(['update', '-qq'])
  const mirror = mirrorOf(BACKPORTS_RELEASE)
  if (mirror === null) return
  const folder = mkdtempSync(join(tmpdir(), 'tern-apt-'))
  try {
    // apt reads and writes them as a user of its own.
    chmodSync(folder, 0o755)
    const lists = join(folder, 'lists')
    mkdirSync(join(lists, 'partial'), { recursive: true, mode: 0o755 })
    const sources = join(folder, 'sources.list')
    const suites = [BACKPORTS_RELEASE, `${BACKPORTS_RELEASE}-updates`, `${BACKPORTS_RELEASE}-backports`]
    writeFileSync(sources, suites.map(suite => `deb ${mirror} ${suite} main\n`).join(''))
    const options = [
      ...['-o', `Dir::Etc::SourceList=${sources}`],
      ...['-o', 'Dir::Etc::SourceParts=/dev/null'],
      ...['-o', `Dir::State::Lists=${lists}`],
      ...['-o', 'Dir::Cache::pkgcache=', '-o', 'Dir::Cache::srcpkgcache='],
    ]
    aptGet([...options, 'update', '-qq'])
    const release = ['-t', `${BACKPORTS_RELEASE}-backports`]
    aptGet([...options, 'install', '-y', '-qq', '--no-install-recommends', ...release, ...PACKAGES])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Where the machine's apt has this release's main component from; null: nowhere. */
export function mirrorOf(release) {
  const format = ['indextargets', '--format', '$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)']
  const { stdout } = spawnSync('apt-get', format, { encoding: 'utf8' })
  return parseMirror(stdout ?? '', release)
}

export function parseMirror(targets, release) {
  const lines = targets.split('\n').map(line => line.split('|'))
  const isWanted = ([codename, suite, component]) => (codename === release || suite === release) && component === 'main'
  return lines.find(isWanted)?.[3] ?? null
}

function codename() {
  try {
    return /^VERSION_CODENAME="?([a-z]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? ''
  } catch {
    return ''
  }
}

const hasAptGet = () => spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).error === undefined

function aptGet(args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  return spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0
}
