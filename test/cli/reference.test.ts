import { readFile, writeFile } from 'node:fs/promises'
import { exitCode } from '@tidemark/cli'
import { errorCodes } from 'tidemark'
import { expect, test } from 'vitest'
import { tidemark } from './tidemark.ts'

const page = new URL('../../docs/cli.md', import.meta.url)
const begin = '<!-- The reference below is made from --help. -->\n'

/** The help of a command and of those below it, in the order in which help lists them. */
async function referenceOf(path: readonly string[]): Promise<string[]> {
  const { code, stdout } = await tidemark([...path, '--help'])
  expect([path, code]).toEqual([path, 0])
  const commands = stdout.split('\nCommands:\n')[1] ?? ''
  const names = [...commands.matchAll(/^ {2}(\S+)/gmu)].map(([, name]) => name ?? '')
  const below = await Promise.all(names.map((name) => referenceOf([...path, name])))
  // What every command takes is said once, with the program itself.
  const own = path.length === 0 ? stdout : stdout.replace(/\nGlobal Options:\n(?: .*\n)*/u, '')
  const section = [`### tidemark ${path.join(' ')}`.trim(), '', '```text', own.trimEnd(), '```', '']
  return [section.join('\n'), ...below.flat()]
}

test('docs/cli.md has the help of every command', async () => {
  const reference = (await referenceOf([])).join('\n')
  if (process.env['UPDATE_REFERENCE'] === '1') {
    const [before] = (await readFile(page, 'utf8')).split(begin)
    await writeFile(page, `${before ?? ''}${begin}\n${reference}`)
  }
  const [, after] = (await readFile(page, 'utf8')).split(begin)
  expect(after, 'run this test with UPDATE_REFERENCE=1').toBe(`\n${reference}`)
})

test('the tables of exit codes have every code, with the meaning that the other has', async () => {
  const readme = new URL('../../packages/cli/README.md', import.meta.url)
  const tables = await Promise.all(
    [page, readme].map(async (url) => {
      const [, table = ''] = (await readFile(url, 'utf8')).split(/^\| exit code .*\n\| -.*\n/mu)
      const rows = /^(?:\|.*\n)+/u.exec(table)?.[0].trimEnd().split('\n') ?? []
      return rows.map((row) => row.split('|').map((cell) => cell.trim()))
    }),
  )
  const [ofDocs, ofReadme] = tables.map((rows) =>
    rows.map(([, code, meaning]) => [Number(code), meaning]),
  )
  expect(ofDocs?.map(([code]) => code)).toEqual(Object.values(exitCode))
  expect(ofReadme).toEqual(ofDocs)
})

test('the commands that pages and remedies tell people to run exist', async () => {
  const commands = new Set<string>()
  for (const section of await referenceOf([])) {
    const [, path = ''] = /^### tidemark ?(.*)/u.exec(section) ?? []
    commands.add(path)
  }
  const root = new URL('../../', import.meta.url)
  const pages = ['README.md', 'packages/cli/README.md', 'docs/cli.md', 'docs/guide.md']
  const texts = await Promise.all(pages.map((path) => readFile(new URL(path, root), 'utf8')))
  const remedies = Object.values(errorCodes).map(({ remedy }) => remedy)
  const told = [...texts, ...remedies].flatMap((text) =>
    [...text.matchAll(/(?:`|npx )tidemark ([a-z][a-z-]*)(?: ([a-z][a-z-]*)\b)?/gu)].map(
      ([, first = '', second = '']) => {
        const path = `${first} ${second}`.trim()
        // The second word may be an argument: of a command that has none below it.
        return [...commands].some((known) => known.startsWith(`${first} `)) ? path : first
      },
    ),
  )
  expect(told.length).toBeGreaterThan(20)
  expect(told.filter((path) => !commands.has(path))).toEqual([])
})
