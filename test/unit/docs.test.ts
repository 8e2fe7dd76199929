/** The documentation points at what exists: links, paths in code marks, the map of the tree. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const PAGES = globSync(['*.md', '{docs,models,training}/**/*.md'], { cwd: ROOT })
const FOLDERS = 'contract|docs|engine|main|models|renderer|shaders|test|training'

/** Targets of links and images, addresses elsewhere and anchors left out. */
const linksIn = (page: string): string[] =>
  [...page.matchAll(/\]\(([^)\s]+)\)|\bsrc="([^"]+)"/g)]
    .map(([, link, source]) => (link ?? source)!.split('#', 1)[0]!)
    .filter(target => target !== '' && !/^[a-z]+:/.test(target))

/** Paths from the root in code marks; without patterns and places for names. */
const pathsIn = (page: string): string[] =>
  [...page.matchAll(new RegExp(`\`((?:${FOLDERS})/[\\w./-]*)\``, 'g'))].map(([, path]) => path!)

describe.each(PAGES)('%s', page => {
  it('leads somewhere with every link', () => {
    for (const link of linksIn(read(page))) expect(existsSync(join(ROOT, dirname(page), link)), link).toBe(true)
  })

  it('names only files that exist', () => {
    for (const path of pathsIn(read(page))) expect(existsSync(join(ROOT, path)), path).toBe(true)
  })
})

it('comments name only pages that exist', () => {
  for (const file of globSync('{contract,engine,main,renderer,shaders,test}/**/*.{ts,tsx,mjs,css,wgsl}', {
    cwd: ROOT,
  })) {
    for (const [path] of read(file).matchAll(/(?<!ggml )\bdocs\/[\w/-]+\.(?:md|png)/g)) {
      expect(existsSync(join(ROOT, path)), `${file}: ${path}`).toBe(true)
    }
  }
})

it('every folder of sources stands in the map', () => {
  const map = read('docs/ARCHITECTURE.md')
  const folders = globSync(`{${FOLDERS.replaceAll('|', ',')}}/**/*.{ts,tsx,wgsl,py,md}`, { cwd: ROOT }).map(
    file => file.split('/', 1)[0]!,
  )
  for (const folder of [...new Set(folders)]) expect(map, folder).toContain(`| \`${folder}/`)
  for (const part of ['engine', 'main']) {
    for (const file of globSync(`${part}/*/**/*.ts`, { cwd: ROOT })) {
      expect(map, file).toContain(`\`${file.split('/', 2).join('/')}/`)
    }
  }
})

it('the README gives the two commands that continuous integration relies on', () => {
  const commands = [...read('README.md').matchAll(/^ {4}(npm .*)$/gm)].map(([, command]) => command)
  expect(commands).toEqual(['npm ci && npm start', 'npm test'])
  expect(read('.ci/run')).toMatch(/^npm ci\nnpm test$/m)
})
