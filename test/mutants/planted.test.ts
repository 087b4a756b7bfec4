import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { faultsNamed } from '../harness/faults/catalog.ts'
import { plantedBugs } from '../harness/planted.ts'
import { applyEdit } from './mutant.ts'

const root = new URL('../../', import.meta.url)

describe.each(plantedBugs)('$breaks', ({ edits, only = '' }) => {
  test('the bug can be planted, and there is a fault to find it by', () => {
    const texts = new Map<string, string>()
    for (const edit of edits) {
      const before = texts.get(edit.file) ?? readFileSync(new URL(edit.file, root), 'utf8')
      texts.set(edit.file, applyEdit(before, edit))
    }
    expect(texts.size).toBeGreaterThan(0)
    expect(faultsNamed(only).length).toBeGreaterThan(0)
  })
})
