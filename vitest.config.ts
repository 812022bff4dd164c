import { defineConfig } from 'vitest/config';

// Packages find each other's sources, so tests need no build.
const conditions = ['vm-source', 'node', 'import', 'default'];
const resolve = { conditions };
const ssr = { resolve: { conditions, externalConditions: conditions } };

export default defineConfig({
  resolve,
  ssr,
  test: {
    projects: [
      { resolve, ssr, test: { name: 'packages', include: ['packages/**/src/**/*.test.ts', 'tools/**/*.test.ts'], testTimeout: 60_000 } },
      // Whole machines: one at a time, because they are timed.
      { resolve, ssr, test: { name: 'system', include: ['tests/**/*.test.ts', 'examples/**/*.test.ts'], testTimeout: 600_000, fileParallelism: false } },
    ],
  },
});
