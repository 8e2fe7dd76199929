/** What a repository of the Hugging Face hub holds of a model, and those files on this disk. */
import { mkdir, readFile, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { TernError } from '../../../contract/errors.ts'
import { type DownloadPlace, downloadFile, failed, partPath, type RemoteFile, reasonOf, refused } from './download.ts'

export interface HubPlace extends DownloadPlace {
  /** Without a slash at the end. */
  hubUrl: string
  token: string | null
}

export interface HubProgress {
  file: string
  bytesDone: number
  bytesTotal: number
}

interface HubFile extends RemoteFile {
  name: string
}

const nameSchema = v.pipe(v.string(), v.regex(/^[\w-][\w.-]{0,95}\/[\w-][\w.-]{0,95}$/))
const revisionSchema = v.object({ sha: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/)) })
const fileSizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 44))
const treeSchema = v.pipe(
  v.array(
    v.object({
      type: v.string(),
      path: v.string(),
      size: v.optional(fileSizeSchema, 0),
      oid: v.string(),
      lfs: v.optional(v.object({ oid: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)), size: fileSizeSchema })),
    }),
  ),
  v.maxLength(1000),
)
const configSchema = v.object({ model_type: v.string() })

/** Of the top folder alone; what is to be executed is never fetched. */
const WANTED =
  /^(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json$|^tokenizer\.model$|^(?:README\.md|LICENSE)$/
const SAFETENSORS = /^model[\w-]*\.safetensors(?:\.index\.json)?$/
const TORCH = /^pytorch_model[\w-]*\.bin(?:\.index\.json)?$/
const MAX_ANSWER_BYTES = 4 * 2 ** 20
const OUR_KIND = 'hgrn_bit'

/** "OWNER/NAME" of an id or a link to its page. Throws `invalid-argument`. */
export function repositoryName(given: string): string {
  const name = given.replace(/^https?:\/\/[^/]+\//, '').replace(/\/(?:tree\/main)?$/, '')
  if (v.is(nameSchema, name)) return name
  throw new TernError({
    code: 'invalid-argument',
    message: `${given} names no repository.`,
    expected: 'OWNER/NAME, or a link to its page',
    remedy: 'Give it as the hub shows it, such as ridger/MMfreeLM-370M.',
  })
}

/**
 * All files that Tern needs of a repository at its present revision, into a folder. What is there with the right length is not
 * fetched again. Throws `download-failed`, `config-unsupported` for other kinds of models, `disk-full`, `cancelled`.
 */
export async function downloadModel(
  repository: string,
  folder: string,
  place: HubPlace,
  options: { signal: AbortSignal; onProgress(progress: HubProgress): void },
): Promise<void> {
  const headers: Record<string, string> = place.token === null ? {} : { authorization: `Bearer ${place.token}` }
  const files = await listFiles(repository, place, headers, options.signal)
  await mkdir(folder, { recursive: true })
  await checkRoom(folder, files)
  const bytesTotal = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let before = 0
  for (const file of files) {
    const path = join(folder, file.name)
    if ((await sizeOf(path)) !== file.bytes) {
      await downloadFile(file, path, place, {
        headers,
        signal: options.signal,
        onProgress: bytes => options.onProgress({ file: file.name, bytesDone: before + bytes, bytesTotal }),
      })
    }
    if (file.name === 'config.json') await checkKind(path, repository)
    before += file.bytes
  }
}

/** config.json first: it tells in a moment whether the rest is wanted. */
async function listFiles(
  repository: string,
  place: HubPlace,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<HubFile[]> {
  const api = `${place.hubUrl}/api/models/${repository}`
  const { sha } = await fetchJson(`${api}/revision/main`, revisionSchema, place, headers, signal)
  const tree = await fetchJson(`${api}/tree/${sha}`, treeSchema, place, headers, signal)
  const names = tree.filter(entry => entry.type === 'file')
  const weights = names.some(({ path }) => path.endsWith('.safetensors')) ? SAFETENSORS : TORCH
  const files = names
    .filter(({ path }) => WANTED.test(path) || weights.test(path))
    .map(
      ({ path, size, oid, lfs }): HubFile => ({
        name: path,
        url: `${place.hubUrl}/${repository}/resolve/${sha}/${path}`,
        bytes: lfs?.size ?? size,
        hash: lfs === undefined ? { kind: 'git-sha1', hex: oid } : { kind: 'sha256', hex: lfs.oid },
      }),
    )
    .sort((a, b) => Number(b.name === 'config.json') - Number(a.name === 'config.json'))
  if (files[0]?.name === 'config.json' && files.some(({ name }) => weights.test(name))) return files
  throw new TernError({
    code: 'config-unsupported',
    message: `${repository} holds no model that Tern can read.`,
    expected: 'config.json with safetensors or pytorch_model.bin beside it',
    actual:
      names
        .map(({ path }) => path)
        .slice(0, 8)
        .join(', ') || 'no files',
    remedy: 'Choose a MatMul-free model, such as ridger/MMfreeLM-370M.',
  })
}

async function fetchJson<Schema extends v.GenericSchema>(
  url: string,
  schema: Schema,
  { fetch, stallMs, time }: HubPlace,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<v.InferOutput<Schema>> {
  const late = new AbortController()
  const cancel = time.after(stallMs, () => late.abort())
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.any([signal, late.signal]) })
    if (!response.ok) throw refused(url, response.status)
    let text = ''
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
      text += decoder.decode(bytes, { stream: true })
      if (text.length > MAX_ANSWER_BYTES) throw failed(url, `at most ${MAX_ANSWER_BYTES} bytes`, 'more')
    }
    return v.parse(schema, JSON.parse(text))
  } catch (error) {
    if (error instanceof TernError) throw error
    if (signal.aborted) throw new TernError({ code: 'cancelled', message: 'The download was stopped.' })
    throw failed(url, "an answer of the hub's form", reasonOf(error))
  } finally {
    cancel()
  }
}

async function checkKind(path: string, repository: string): Promise<void> {
  let kind = 'nothing known'
  try {
    kind = v.parse(configSchema, JSON.parse(await readFile(path, 'utf8'))).model_type
  } catch {
    // Told as it is: of no known kind.
  }
  if (kind === OUR_KIND) return
  throw new TernError({
    code: 'config-unsupported',
    message: `${repository} is a model of another kind.`,
    expected: `model_type "${OUR_KIND}"`,
    actual: `"${kind.slice(0, 64)}"`,
    remedy: 'Tern runs MatMul-free models only, such as ridger/MMfreeLM-370M.',
  })
}

async function checkRoom(folder: string, files: readonly HubFile[]): Promise<void> {
  let needed = 0
  for (const { name, bytes } of files) {
    const path = join(folder, name)
    if ((await sizeOf(path)) !== bytes) needed += bytes - Math.min(bytes, (await sizeOf(partPath(path))) ?? 0)
  }
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize >= needed) return
  throw new TernError({
    code: 'disk-full',
    message: `There is no room for the model in ${folder}.`,
    expected: `${needed} bytes`,
    actual: `${bavail * bsize} bytes`,
    remedy: 'Make room, or choose another folder.',
  })
}

/** null: there is no such file. */
const sizeOf = async (path: string): Promise<number | null> => (await stat(path).catch(() => null))?.size ?? null
