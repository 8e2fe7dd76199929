/** The bundle that the engine child runs in Electron's app. */
import { engineConfig } from '../../electron.config.ts'

export default engineConfig
