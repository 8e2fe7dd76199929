/** The window alone, for the browser shell: what vite needs is a default export. */
import { windowConfig } from '../../electron.config.ts'

export default windowConfig
