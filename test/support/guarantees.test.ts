import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)
const document = await readFile(new URL('docs/guarantees.md', root), 'utf8')

/** The tests that the document names, by their file. */
function namedTests(): Map<string, string[]> {
  const named = new Map<string, string[]>()
  // A name may be broken over two lines in a paragraph.
  for (const [, file, name] of document.matchAll(
    /`((?:packages\/[\w-]+\/)?test\/[\w/.-]+\.test\.ts)`:\s+"([^"]+)"/g,
  )) {
    if (file === undefined || name === undefined) continue
    named.set(file, [...(named.get(file) ?? []), name.replaceAll(/\s+/g, ' ')])
  }
  return named
}

test('every test that docs/guarantees.md names exists', async () => {
  const missing: string[] = []
  for (const [file, names] of namedTests()) {
    const source = await readFile(new URL(file, root), 'utf8').catch(() => '')
    for (const name of names) {
      // `test(name` or `test.for(table)(name`.
      const calls = source.replaceAll(/\(\s+/g, '(')
      const quoted = ["'", '`', '"'].some((quote) =>
        ['test(', ')('].some((call) => calls.includes(`${call}${quote}${name}${quote}`)),
      )
      if (!quoted) missing.push(`${file}: ${name}`)
    }
  }
  expect(missing).toEqual([])
})

test('every guarantee names at least two tests, and no reference to one is misspelt', () => {
  const sections = document.split(/^## /mu).slice(1)
  const count = sections.length - 1
  expect(count).toBeGreaterThanOrEqual(10)
  const titles = [...Array.from({ length: count }, (_, index) => `G${index + 1}`), 'What']
  expect(sections.map((section) => section.split(' ')[0])).toEqual(titles)
  for (const section of sections) {
    const files = section.match(/`test\/[\w/.-]+\.test\.ts`/g) ?? []
    expect(files.length).toBeGreaterThanOrEqual(2)
  }
  const named = [...namedTests().values()].flat().length
  expect(named).toBe((document.match(/\.test\.ts`/g) ?? []).length)
})
