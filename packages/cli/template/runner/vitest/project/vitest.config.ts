import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // One Postgres for all test files: DATABASE_URL is not needed, and not touched.
    globalSetup: '@tidemark/testing/vitest/global-setup',
    // A real database, on a machine that may be busy: 5 seconds are not much.
    testTimeout: 30_000,
  },
})
