import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { cases, missing, search } from './run.mjs'

const skipped = missing === undefined ? '' : ` (skipped: ${missing})`
if (missing !== undefined) console.warn(`The protocols' models are not checked: ${missing}.`)

// Searches wait for each other inside of the test's time: two run at once.
const patience = 300_000

describe.skipIf(missing !== undefined)(`the protocols' models${skipped}`, () => {
  const chosen = cases.filter(({ set }) => set === 'test')

  test.concurrent.for(chosen.filter(({ expected }) => expected === 'nothing'))(
    'nothing goes wrong in $name',
    { timeout: patience },
    async (subject, { expect: expectHere, signal }) => {
      const { found, output, states } = await search(subject, { signal })
      expectHere(found, output).toBe('nothing')
      expectHere(states).toBeGreaterThan(10_000)
    },
  )

  test.concurrent.for(chosen.filter(({ expected }) => expected === 'failure'))(
    'a way to fail is found in $name',
    { timeout: patience },
    async (subject, { expect: expectHere, signal }) => {
      const { found, output } = await search(subject, { signal })
      expectHere(found, output).toBe('failure')
    },
  )
})

test.for(['horizon', 'doorbell', 'lease'] as const)(
  'every variant that %s.pml describes is searched',
  (model) => {
    const [head] = readFileSync(new URL(`${model}.pml`, import.meta.url), 'utf8').split('*/')
    const described = [...(head ?? '').matchAll(/^ \* {3}([A-Z][A-Z_, ]*?) {2}/gm)].flatMap(
      ([, names]) => (names ?? '').split(', '),
    )
    const searched = new Set(
      cases
        .filter((subject) => subject.model === model)
        .flatMap(({ defines }) => defines.map((define) => define.replace(/=.*/, ''))),
    )
    expect(described.length).toBeGreaterThan(5)
    expect(described.filter((name) => !searched.has(name))).toEqual([])
  },
)
