import { readFileSync } from 'node:fs'

/** What a snippet may use without importing it, because its reader knows where it comes from. */
const packages: Readonly<Record<string, string>> = {
  tidemark: 'packages/core/src/index.ts',
  '@tidemark/console': 'packages/console/src/index.ts',
  '@tidemark/http': 'packages/http/src/index.ts',
  '@tidemark/testing': 'packages/testing/src/index.ts',
  '@tidemark/testing/vitest': 'packages/testing/src/vitest/index.ts',
}

const others: Readonly<Record<string, string>> = {
  z: "import { z } from 'zod'",
  pg: "import pg from 'pg'",
  sql: "import { sql } from 'kysely'",
  test: "import { test } from 'vitest'",
  expect: "import { expect } from 'vitest'",
  defineConfig: "import { defineConfig } from 'vitest/config'",
  tidemark: "declare const tidemark: import('tidemark').App",
}

/** For each given name, the statement that declares it. */
export function givenNames(root: URL): ReadonlyMap<string, string> {
  const names = new Map(Object.entries(others))
  for (const [specifier, index] of Object.entries(packages)) {
    for (const { type, name } of exportsOf(readFileSync(new URL(index, root), 'utf8'))) {
      names.set(name, `import { ${type}${name} } from '${specifier}'`)
    }
  }
  return names
}

/** The declarations that a snippet leaves out, on one line, so that line numbers stay simple. */
export function preludeOf(code: string, names: ReadonlyMap<string, string>): string {
  const bare = code.replaceAll(/\/\/.*$|'[^'\n]*'/gmu, '')
  const used = new Set(bare.match(/(?<![.\w$])[A-Za-z_$][\w$]*/gu))
  const statements = [...used].flatMap((name) => {
    const statement = names.get(name)
    return statement === undefined || declares(bare, name) ? [] : [statement]
  })
  return [...statements, 'export {}'].join('; ')
}

function declares(code: string, name: string): boolean {
  const binding = new RegExp(
    `\\b(?:const|let|var|using|function|class|interface|type)\\s+(?:\\{[^}]*\\b)?${name}\\b` +
      `|^import\\b[^;]*?\\b${name}\\b[^;]*? from\\b`,
    'mu',
  )
  return binding.test(code)
}

/** What an index file exports by name; `type` is `'type '` for what is erased. */
function exportsOf(index: string): { type: string; name: string }[] {
  return [...index.matchAll(/\bexport (?<type>type )?\{(?<names>[^}]*)\}/gu)].flatMap(
    ({ groups }) =>
      (groups?.['names'] ?? '')
        .split(',')
        .map((clause) => clause.trim())
        .filter((clause) => clause !== '')
        .map((clause) => {
          const isType = groups?.['type'] !== undefined || clause.startsWith('type ')
          return { type: isType ? 'type ' : '', name: clause.split(/\s+/u).at(-1) ?? clause }
        }),
  )
}
