/** Models from the hub, over this machine's network and clock: used only when somebody asks for one by name. */
import { join } from 'node:path'
import { downloadModel, type HubProgress, repositoryName } from '../services/library/hub.ts'
import { dataFolder } from '../services/store/data-folder.ts'
import { systemTime } from '../time.ts'

const HUB_URL = 'https://huggingface.co'
const STALL_MS = 30_000
const BACKOFF_MS = 1_000

/** The folder of the model. HF_ENDPOINT names a mirror, HF_TOKEN a token for what is not public. */
export async function getModel(
  given: string,
  folder: string | undefined,
  options: { signal: AbortSignal; onProgress(progress: HubProgress): void },
): Promise<string> {
  const repository = repositoryName(given)
  const path = folder ?? join(dataFolder(), 'models', repository.replace('/', '--'))
  await downloadModel(
    repository,
    path,
    {
      hubUrl: (process.env.HF_ENDPOINT || HUB_URL).replace(/\/+$/, ''),
      token: process.env.HF_TOKEN || null,
      fetch: globalThis.fetch,
      time: systemTime,
      stallMs: STALL_MS,
      backoffMs: BACKOFF_MS,
    },
    options,
  )
  return path
}
