import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { groups } from './list/groups.ts'
import { applyEdit, titlePattern } from './mutant.ts'

const root = new URL('../../', import.meta.url)
const mutants = groups.flatMap((group) => group.mutants)

test('no two mutants break the same by the same words', () => {
  const names = mutants.map(({ breaks }) => breaks)
  expect(names).toEqual([...new Set(names)])
})

describe.each(mutants)('$breaks', ({ edits, tests }) => {
  test('the edit fits the code', () => {
    expect(edits.length).toBeGreaterThan(0)
    const texts = new Map<string, string>()
    for (const edit of edits) {
      const before = texts.get(edit.file) ?? readFileSync(new URL(edit.file, root), 'utf8')
      const after = applyEdit(before, edit)
      expect(after).not.toBe(before)
      texts.set(edit.file, after)
    }
  })

  test('the tests that have to notice exist', () => {
    expect(Object.keys(tests).length).toBeGreaterThan(0)
    for (const [file, names] of Object.entries(tests)) {
      const source = readFileSync(new URL(file, root), 'utf8')
      for (const name of names) expect(source).toContain(name)
    }
  })
})

test('a title is matched by its name as it stands in the source', () => {
  expect(titlePattern('a ${kind} of $name, %i times').test('a job of x, 3 times')).toBe(true)
  expect(titlePattern('a (b)').test('a (b), and more')).toBe(false)
})
