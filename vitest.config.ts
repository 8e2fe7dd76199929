import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // One fewer than there are processors is the default, which leaves one of two idle.
    maxWorkers: '100%',
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/own-data-folder.ts'],
  },
})
