/** Runs readme-images.ts under a Node that can, whichever Node the terminal has. */
import { underNode24 } from '../main/launcher/node24.mjs'

await underNode24(import.meta.url, () => import('./readme-images.ts'))
