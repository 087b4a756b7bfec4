import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mistrust } from '../src/database/sent/prepared-names.ts'
import { blameOf, serverTroubles } from '../src/errors/blame.ts'

const page = readFileSync(new URL('../../../docs/operating.md', import.meta.url), 'utf8')

test('the page for operators has every code that is the server’s trouble', () => {
  const documented = Object.keys(serverTroubles).filter(
    (code) => page.includes(`\`${code}\``) || page.includes(`\`${code}…\``),
  )
  expect(documented).toEqual(Object.keys(serverTroubles))
})

test.each([
  [{ code: '53100' }, 'server'],
  [{ code: '53999' }, 'server'],
  [{ code: '57014', message: 'canceling statement due to user request' }, 'server'],
  [{ code: '57014', message: 'canceling statement due to statement timeout' }, 'work'],
  [{ code: '57014', message: 'storniere Anfrage wegen Benutzeraufforderung' }, 'server'],
  [{ code: '57014', message: 'COPY failed', routine: 'CopyGetData' }, 'work'],
  // A statement of somebody's own that was prepared by hand, and is missed.
  [{ code: '26000' }, 'work'],
  [{ code: '57P01' }, 'connection'],
  [{ code: 'ECONNRESET' }, 'connection'],
  [{ code: '40001' }, 'conflict'],
  [{ code: '22012' }, 'work'],
  [new Error('mine'), 'work'],
  [new Error('mine', { cause: { code: '53100', message: 'disk full' } }), 'server'],
  [null, 'work'],
  [undefined, 'work'],
  ['53100', 'work'],
])('%j is the fault of: %s', (error, blame) => {
  expect(blameOf(error)).toBe(blame)
})

test.each([
  { code: '0A000', message: 'gespeicherter Plan', routine: 'RevalidateCachedQuery' },
  { code: '0A000', message: 'cached plan must not change result type' },
  { code: '26000' },
])('%j of a prepared statement is a conflict, and of any other the work’s', (told) => {
  const [error, another] = [{ ...told }, { ...told }]
  expect(mistrust({ name: 'a name', text: 'a text' }, error)).toBe(true)
  expect(mistrust({ text: 'a text' }, another)).toBe(false)
  expect([blameOf(error), blameOf(another)]).toEqual(['conflict', 'work'])
})

test('an error that cannot be looked at is the work’s', () => {
  const hostile = {
    get code() {
      throw new Error('no')
    },
  }
  expect(blameOf(hostile)).toBe('work')
})
