import fc from 'fast-check'
import { defineEvent, defineListener, toEventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const rich = defineEvent('test.rich', { payload: z.object({ value: z.unknown() }) })

test('what jsonb and superjson hold goes through the database and comes back as it was', async () => {
  const values: unknown[] = [
    { amount: 2n ** 90n, negative: -1n },
    { at: new Date('1969-12-31T23:59:59.999Z') },
    new Map<unknown, unknown>([
      ['a', new Set([1, 2n])],
      [7, undefined],
    ]),
    { missing: undefined, nothing: null, list: [undefined, null, 1] },
    { 'ключ 🗝': ['日本', '\u2028', '\u{10FFFF}', '"\\/\b\f\n\r\t'] },
    [Number.NaN, Number.POSITIVE_INFINITY, -0, 1e-320, Number.MAX_SAFE_INTEGER],
    { deep: { er: { and: [{ deeper: [new Date(0)] }] } } },
    { 'a.b': 1n, 'c\\d': new Set() },
  ]
  const seen: unknown[] = []
  const listener = defineListener('reading').on(rich, async ({ payload }) => {
    seen.push(payload.value)
  })
  await using app = appOn(database, [listener])
  await app.start()
  const published = await app.publish(values.map((value) => rich({ value })))
  await app.waitFor(listener, toEventSequence(published.at(-1)?.sequence ?? 0))
  expect(seen).toStrictEqual(values)
})

// What jsonb cannot hold, and the names that could be used to change what every object inherits.
const unstorable = /\\u0000|\\ud[89a-f]|"(?:__proto__|constructor|prototype)":/iu

test('any JSON value comes back as it was, and SQL can query it', async () => {
  const seen: unknown[] = []
  const listener = defineListener('reading').on(rich, async ({ payload }) => {
    seen.push(payload.value)
  })
  const json = fc
    .jsonValue({ stringUnit: 'binary' })
    .filter((value) => !unstorable.test(JSON.stringify(value)))

  const values = fc.sample(json, 200)
  await using app = appOn(database, [listener])
  await app.start()
  const published = await app.publish(values.map((value) => rich({ value })))
  await app.waitFor(listener, toEventSequence(published.at(-1)?.sequence ?? 0))
  expect(seen).toStrictEqual(values)
  await app.publish(rich({ value: { account: 'a-1' } }))
  const { rowCount } = await database.query(
    `select from tidemark.events where payload -> 'value' ->> 'account' = 'a-1' and payload_meta is null`,
  )
  expect(rowCount).toBe(1)
})

test('what jsonb cannot hold is refused before anything is sent', async () => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  class Money {
    readonly cents = 1
  }
  const refused: readonly [unknown, string][] = [
    ['nul \0', 'value'],
    [{ a: [{ 'key\0': 1 }] }, 'value.a.0'],
    [{ half: '\udc00' }, 'value.half'],
    [new Map([['k', '\0']]), 'value.0.value'],
    [{ f: () => 1 }, 'value.f'],
    [{ s: Symbol('s') }, 'value.s'],
    [new Money(), 'value'],
    [new Date(Number.NaN), 'value'],
    [{ cycle }, 'value.cycle.self'],
  ]
  await using app = appOn(database, [rich])
  for (const [value, path] of refused) {
    await expect(app.publish(rich({ value }))).rejects.toMatchObject({
      code: 'TIDEMARK_PAYLOAD_NOT_STORABLE',
      details: { path },
    })
  }
  expect((await database.query('select from tidemark.events')).rowCount).toBe(0)
})

test('an older event is brought up to the present version by its upcasters, one after another', async () => {
  const first = defineEvent('test.moved', { payload: z.object({ place: z.string() }) })
  const third = defineEvent('test.moved', {
    version: 3,
    payload: z.object({ city: z.string(), street: z.string(), at: z.bigint() }),
    upcast: {
      1: ({ place }: { place: string }) => ({
        city: place.split(', ')[1] ?? '',
        street: place.split(', ')[0] ?? '',
      }),
      2: (old: { city: string; street: string }) => ({ ...old, at: 0n }),
    },
  })
  {
    await using old = appOn(database, [first])
    await old.publish(first({ place: 'Quay 1, Leith' }))
  }
  const seen: unknown[] = []
  const listener = defineListener('reading').on(third, async ({ payload, version }) => {
    seen.push({ ...payload, version })
  })
  await using app = appOn(database, [listener])
  await app.start()
  const { sequence } = await app.publish(third({ city: 'Ostend', street: 'Dyke 2', at: 5n }))
  await app.waitFor(listener, sequence)
  expect(seen).toEqual([
    { city: 'Leith', street: 'Quay 1', at: 0n, version: 3 },
    { city: 'Ostend', street: 'Dyke 2', at: 5n, version: 3 },
  ])
})

test('the headers of an event arrive with it', async () => {
  let received: unknown
  const listener = defineListener('reading').on(rich, async (event) => {
    received = event
  })
  await using app = appOn(database, [listener])
  await app.start()
  const published = await app.publish(rich({ value: 1 }), {
    stream: 'account-1',
    key: 'customer-1',
    correlationId: 'request-1',
    causationId: 'command-1',
    metadata: { user: 'u-1' },
  })
  await app.waitFor(listener, published.sequence)
  expect(received).toMatchObject({
    id: published.id,
    sequence: published.sequence,
    stream: 'account-1',
    streamVersion: 1n,
    key: 'customer-1',
    correlationId: 'request-1',
    causationId: 'command-1',
    metadata: { user: 'u-1' },
    recordedAt: expect.any(Date),
  })
})
