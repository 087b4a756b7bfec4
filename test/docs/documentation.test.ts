import { globSync, readFileSync } from 'node:fs'
import { createTestDatabase } from '@tidemark/testing'
import { beforeAll, describe, expect, test } from 'vitest'
import { checkTypes, type Diagnostic } from './check-types.ts'
import { promisedLines, runSnippet } from './run-snippet.ts'
import { snippetsInMarkdown, snippetsInSource, type Snippet } from './snippet.ts'

const root = new URL('../../', import.meta.url)

// What needs packages that the repository does not have is compiled where they are: test/orm/docs.test.ts.
const elsewhere = new Set(['docs/orms.md'])
const markdown = globSync(['README.md', 'docs/*.md', '{packages,examples}/*/README.md'], {
  cwd: root,
}).filter((file) => !elsewhere.has(file))
const sources = globSync('packages/*/src/**/*.ts', { cwd: root })
const snippets = [
  ...markdown.flatMap((file) => snippetsInMarkdown(file, read(file))),
  ...sources.flatMap((file) => snippetsInSource(file, read(file))),
]
const typescript = snippets.filter(({ language }) => language === 'ts')
const sql = snippets.filter(({ language }) => language === 'sql')
const quotes = typescript.filter(({ info }) => info.includes('/'))
const runnable = typescript.filter(({ info }) => info === 'run')
// A quote is compiled with the file that it is from.
const compiled = typescript.filter((snippet) => !quotes.includes(snippet))

function read(file: string): string {
  return readFileSync(new URL(file, root), 'utf8')
}

// A quote from inside a function is moved to the left, and then more fits on a line.
function withoutLayout(code: string): string {
  return code.replaceAll(/\s+/gu, ' ').trim()
}

function place({ file, line }: Snippet): string {
  return `${file}:${line}`
}

describe('snippets compile', () => {
  const files = Map.groupBy(compiled, ({ file }) => file)
  // They show that a mistake is found at all, and where it is.
  const planted = [
    ...snippetsInMarkdown(
      'planted.md',
      "text\n\n```ts\nimport { defineEvent } from 'tidemark'\n\ndefineEvent('a', { payloads: z.object({}) })\n```\n",
    ),
    ...snippetsInSource(
      'planted.ts',
      '/**\n * Text.\n *\n * @example\n * ```ts\n * const one: string = 1\n * ```\n */\n',
    ),
  ]
  let diagnostics: readonly Diagnostic[] = []

  beforeAll(async () => {
    diagnostics = await checkTypes([...compiled, ...planted])
  })

  test.each([...files.keys()])('in %s', (file) => {
    const mine = diagnostics.filter((diagnostic) => diagnostic.file === file)
    expect(mine.map(({ line, message }) => `${file}:${line} ${message}`)).toEqual([])
  })

  test.each([
    { file: 'planted.md', line: 6, message: "'payloads' does not exist" },
    { file: 'planted.ts', line: 6, message: "not assignable to type 'string'" },
  ])('but not the mistake that was planted in $file', ({ file, line, message }) => {
    expect(diagnostics).toContainEqual({ file, line, message: expect.stringContaining(message) })
  })
})

describe('snippets run as printed', () => {
  test('there is one in the README', () => {
    expect(runnable.map(({ file }) => file)).toContain('README.md')
  })

  test.each(runnable.map((snippet) => [place(snippet), snippet] as const))(
    '%s',
    async (_, snippet) => {
      await using database = await createTestDatabase({ migrate: false })
      const promised = promisedLines(snippet)
      expect(promised).not.toEqual([])
      expect(await runSnippet(snippet, database.url)).toEqual({ printed: promised, exitCode: 0 })
    },
  )
})

describe('SQL runs on a migrated database', () => {
  test.each(sql.map((statement) => [place(statement), statement] as const))(
    '%s',
    async (_, { code }) => {
      await using database = await createTestDatabase()
      expect(await database.query(code)).toMatchObject({ command: 'SELECT' })
    },
  )
})

describe('quotes are what the files say', () => {
  test.each(quotes.map((quote) => [place(quote), quote] as const))('%s', (_, { info, code }) => {
    expect(code.trim()).not.toBe('')
    expect(withoutLayout(read(info))).toContain(withoutLayout(code))
  })
})
