import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/server.ts'],
    // one server, which some tests kill
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 120_000,
  },
})
