/** Electron's own bundles without the window, which browser-shell/window-bundle.ts builds apart. */
import { mainConfig } from '../../electron.config.ts'

export default mainConfig
