import { defineConfig, type OxlintOverride } from 'oxlint'

/**
 * The folders of `packages/core/src`, in the order in which they may import each other: each folder
 * only from those before it. ARCHITECTURE.md says why; `telemetry` stands beside the list.
 */
const importOrder = [
  'errors',
  'database',
  'event',
  'outbox',
  'listener',
  'projection',
  'job',
  'relay',
  'runtime',
  'orm',
]

/**
 * The rooms of a capability follow the life of its noun: each imports only from those before it. What lies in the
 * capability's folder itself may import from all of them.
 */
const rooms: Readonly<Record<string, readonly string[]>> = {
  event: ['encoded', 'schema'],
  outbox: ['ordered', 'woken', 'read', 'published', 'kept', 'entity'],
  listener: ['declared', 'leased', 'failed', 'read', 'handled', 'defined', 'steered'],
  projection: ['stored', 'shadow', 'folded', 'rebuilt'],
  job: [
    'declared',
    'coded',
    'defined',
    'spawned',
    'locked',
    'outputs',
    'documented',
    'claimed',
    'attempted',
    'remembered',
    'settled',
    'waiting',
    'running',
    'steered',
  ],
  runtime: ['recorded', 'upkeep', 'runner', 'doctor', 'app'],
}

const bannedModules = [{ name: 'node:test', message: 'Tests run on vitest: import from "vitest".' }]

/** What files of `folder` must not import: any folder of core but those in `allowed`, and the package itself. */
function foldersOtherThan(folder: string, allowed: readonly string[]) {
  const forbidden = [...importOrder, 'telemetry']
    .filter((other) => other !== folder && !allowed.includes(other))
    .map((other) => `${other}/`)
  const names = allowed.map((other) => `${other}/`).join(', ')
  return [
    {
      // Relative specifiers: ../event/codec.ts, ../../event/codec.ts, ../index.ts.
      regex: `^(?:\\.\\./)+(?:${[...forbidden, 'index\\.ts$'].join('|')})`,
      message: `Import order of packages/core/src (ARCHITECTURE.md): ${folder}/ may import only from ${names}.`,
    },
    {
      regex: '^tidemark(?:/|$)',
      message: 'Inside the package, import the file that defines it.',
    },
  ]
}

/** What files of a room must not import: the rooms after it. */
function roomsAfter(folder: string, room: string) {
  const order = rooms[folder] ?? []
  const later = order.slice(order.indexOf(room) + 1)
  if (later.length === 0) return []
  return [
    {
      regex: `^\\.\\./(?:${later.join('|')})/`,
      message: `Rooms of ${folder}/ (ARCHITECTURE.md): ${room}/ may not import from ${later.join(', ')}.`,
    },
  ]
}

/** The import rules of one folder of core, and of each of its rooms. */
function importsOnly(folder: string, allowed: readonly string[]): OxlintOverride[] {
  const restricted = (files: string, patterns: object[]): OxlintOverride => ({
    files: [files],
    rules: { 'no-restricted-imports': ['error', { paths: bannedModules, patterns }] },
  })
  const folders = foldersOtherThan(folder, allowed)
  return [
    restricted(`packages/core/src/${folder}/**`, folders),
    ...(rooms[folder] ?? []).map((room) =>
      restricted(`packages/core/src/${folder}/${room}/**`, [
        ...folders,
        ...roomsAfter(folder, room),
      ]),
    ),
  ]
}

export default defineConfig({
  plugins: ['eslint', 'typescript', 'unicorn', 'oxc', 'import', 'promise', 'node', 'vitest'],
  options: { typeAware: true, reportUnusedDisableDirectives: 'error' },
  env: { node: true, es2024: true },
  categories: { correctness: 'error', suspicious: 'error', perf: 'error' },
  ignorePatterns: ['**/dist/**', '**/generated/**'],
  rules: {
    'no-restricted-imports': ['error', { paths: bannedModules }],
    // Cycles of types alone are erased; between the folders of core the import order forbids them too.
    'import/no-cycle': 'error',
    'import/no-default-export': 'error',
    'typescript/no-explicit-any': 'error',
    'typescript/no-empty-object-type': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    // Off for `import('testcontainers').…`: the type of an optional peer that is loaded on request.
    'typescript/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
    'typescript/switch-exhaustiveness-check': [
      'error',
      { considerDefaultExhaustiveForUnions: true },
    ],
    'unicorn/filename-case': 'error',
    'unicorn/prefer-node-protocol': 'error',
    'vitest/no-focused-tests': 'error',
    'vitest/no-disabled-tests': 'error',
    'vitest/expect-expect': ['error', { assertFunctionNames: ['expect*', 'check*', 'fc.assert'] }],
    // The second argument is the message of the failure.
    'vitest/valid-expect': ['error', { maxArgs: 2 }],
    // A title is a sentence, and a sentence may begin with the word "test".
    'vitest/valid-title': 'off',
    // Records are immutable here: a changed one is a new one.
    'oxc/no-map-spread': 'off',
    // A loop that runs until another task says so: the rule sees only the loop.
    'no-unmodified-loop-condition': 'off',
    // Order is often the point of a loop that awaits.
    'no-await-in-loop': 'off',
    // Rows and parsed JSON enter through an assertion next to the query or parser that knows their shape.
    'typescript/no-unsafe-type-assertion': 'off',
    // The compiler checks it already (noImplicitReturns), and knows about "Promise<void>".
    'typescript/consistent-return': 'off',
    // Naming a type argument that is also the default says what the code is about.
    'typescript/no-unnecessary-type-arguments': 'off',
    // A helper of one function reads best inside it, next to its only caller.
    'unicorn/consistent-function-scoping': 'off',
    // `import pg from 'pg'`: CommonJS packages whose named exports Node cannot see at load time.
    'import/no-named-as-default-member': 'off',
  },
  overrides: [
    {
      files: ['**/*.config.ts', '**/.vitepress/config.ts'],
      rules: { 'import/no-default-export': 'off' },
    },
    // What `tidemark init` writes is code of others, on node:test, on Express 5, which takes handlers that are async, on Nest,
    // whose modules are empty classes, and on seven ORMs, each with a message of its own.
    {
      files: ['packages/cli/template/**'],
      rules: {
        'no-restricted-imports': 'off',
        'oxc/no-async-endpoint-handlers': 'off',
        'typescript/no-extraneous-class': 'off',
        'typescript/no-floating-promises': 'off',
        'vitest/require-to-throw-message': 'off',
      },
    },
    // Tests that tests run: some fail on purpose, some only leave something behind.
    { files: ['**/fixtures/**'], rules: { 'vitest/expect-expect': 'off' } },
    // Nest's modules and tokens are classes, whatever is in them.
    {
      files: ['packages/nestjs/**', 'examples/nest/**', 'test/consumers/programs/**'],
      rules: {
        'typescript/no-extraneous-class': 'off',
        // It extends `Reflect`, and exports nothing.
        'import/no-unassigned-import': ['error', { allow: ['reflect-metadata'] }],
      },
    },
    // The type of a constructor's parameter is what Nest injects: importing it as a type would erase it.
    {
      files: ['examples/nest/src/**', 'packages/nestjs/test/**'],
      rules: { 'typescript/consistent-type-imports': 'off' },
    },
    {
      files: ['packages/core/src/**'],
      rules: { 'no-console': 'error', 'node/no-process-env': 'error' },
    },
    ...importOrder.flatMap((folder, index) =>
      importsOnly(folder, [...importOrder.slice(0, index), 'telemetry']),
    ),
    ...importsOnly('telemetry', ['errors']),
  ],
})
