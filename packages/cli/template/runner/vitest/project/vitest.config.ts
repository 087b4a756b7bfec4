import { defineConfig } from 'vitest/config'

export default defineConfig({
  // One Postgres for all test files: DATABASE_URL is not needed, and not touched.
  test: { globalSetup: '@tidemark/testing/vitest/global-setup' },
})
