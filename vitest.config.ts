import { defineConfig } from 'vitest/config';

// Packages find each other's sources, so tests need no build.
const conditions = ['vm-source', 'node', 'import', 'default'];
const resolve = { conditions };
// What takes minutes runs with `npm run test:long`.
const exclude = ['**/node_modules/**', '**/dist/**', ...(process.env['VM_LONG'] === '1' ? [] : ['**/*.long.test.ts'])];
const ssr = { resolve: { conditions, externalConditions: conditions } };

export default defineConfig({
  resolve,
  ssr,
  test: {
    projects: [
      { resolve, ssr, test: { name: 'packages', include: ['packages/**/src/**/*.test.ts', 'tools/**/*.test.mjs'], exclude, testTimeout: 600_000, setupFiles: ['tests/setup/v8-flags.ts', 'tests/setup/translator.ts', 'tests/setup/shadow.ts'] } },
      // Whole machines: one at a time, because they are timed.
      { resolve, ssr, test: { name: 'system', include: ['tests/**/*.test.ts', 'examples/**/*.test.{ts,js}'], exclude, testTimeout: 600_000, fileParallelism: false, setupFiles: ['tests/setup/v8-flags.ts', 'tests/setup/translator.ts', 'tests/setup/shadow.ts'] } },
    ],
  },
});
