import { execFile } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The pages of the site by their paths, from the program that makes them: it needs nothing of what builds the site. */
let pages: Readonly<Record<string, string>>

beforeAll(async () => {
  const program = fileURLToPath(new URL('docs/site/check.ts', `file://${root}`))
  // It fails, and says which page and which link, when a link leads nowhere.
  const { stdout } = await promisify(execFile)(process.execPath, [program], { maxBuffer: 2 ** 26 })
  pages = JSON.parse(stdout) as Record<string, string>
})

describe('the pages of the site', () => {
  test('all that is written for users is among them', () => {
    const written = globSync(
      ['docs/*.md', 'docs/site/*.md', '*.md', 'packages/*/README.md', 'examples/*/README.md'],
      { cwd: root },
    )
    expect(written.length).toBeGreaterThan(20)
    const own = Object.keys(pages).filter((path) => path.endsWith('.md') && !isSource(path))
    expect(own).toHaveLength(written.length)
    for (const file of written) {
      const [heading] = /^# .*$/m.exec(readFileSync(join(root, file), 'utf8')) ?? []
      expect(
        own.some((path) => pages[path]?.includes(`${heading}\n`)),
        file,
      ).toBe(true)
    }
  })

  test('what a page links to is on the site', () => {
    const links = Object.entries(pages).flatMap(([page, text]) =>
      [...text.replaceAll(/^(`{3,})[\s\S]*?^\1 *$/gm, '').matchAll(/\]\((\/[^)#\s]*)/g)].map(
        ([, link = '']) => ({ page, link }),
      ),
    )
    expect(links.length).toBeGreaterThan(100)
    const known = new Set(
      Object.keys(pages).flatMap((path) => [`/${path}`, `/${path.replace(/\.md$/, '')}`]),
    )
    const dead = links.filter(
      ({ link }) => link !== '/' && !known.has(link) && !/\.(svg|png)$/.test(link),
    )
    expect(dead).toEqual([])
  })

  test('language models are told of each of them', () => {
    const { 'llms.txt': overview = '' } = pages
    const told = [...overview.matchAll(/\]\(\/([^)]+)\)/g)].map(([, path]) => path)
    const own = Object.keys(pages).filter(
      (path) => path.endsWith('.md') && !path.startsWith('source/'),
    )
    expect(new Set(told)).toEqual(new Set(own))
    expect(overview).toMatch(/^# Tidemark\n\n> An event-sourced outbox/)
  })
})

/** Whether it shows a file that a page links to. */
function isSource(path: string): boolean {
  return path.startsWith('source/')
}
