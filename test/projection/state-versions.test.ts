import { defineProjection, type FailurePolicy } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** Counts; then counts exactly; then keeps when it has seen the last, too. */
function counts(keyed: boolean, stateVersion: 1 | 2 | 3, onFailure: FailurePolicy = 'skip') {
  const forms = {
    1: { initial: () => ({ n: 0 }), state: z.object({ n: z.number() }) },
    2: { initial: () => ({ n: 0n }), state: z.object({ n: z.bigint() }) },
    3: {
      initial: () => ({ count: 0n, last: null as Date | null }),
      state: z.object({ count: z.bigint(), last: z.date().nullable() }),
    },
  } as const
  const upcasters = {
    1: ({ n }: { n: number }) => ({ n: BigInt(n) }),
    2: ({ n }: { n: bigint }) => ({ count: n, last: null }),
  }
  const upcastState = Object.fromEntries(
    Object.entries(upcasters).filter(([from]) => Number(from) < stateVersion),
  )
  const options = { version: 1, onFailure, stateVersion, upcastState, ...forms[stateVersion] }
  const reduce = (state: never, event: { recordedAt: Date }): never => {
    const { n, count } = state as { n?: number | bigint; count?: bigint }
    if (count !== undefined) return { count: count + 1n, last: event.recordedAt } as never
    return { n: typeof n === 'bigint' ? n + 1n : (n ?? 0) + 1 } as never
  }
  return keyed
    ? defineProjection('counts', { ...options, keyed: true } as never).on(noted, reduce as never, {
        key: (event) => event.payload.note,
      })
    : defineProjection('counts', options as never).on(noted, reduce as never)
}

async function read(keyed: boolean, version: 1 | 2 | 3, key = 'a'): Promise<unknown> {
  await using app = appOn(database, [])
  const projection = counts(keyed, version)
  return await (keyed ? app.read(projection as never, key as never) : app.read(projection as never))
}

async function runWith(keyed: boolean, version: 1 | 2 | 3, note = 'a'): Promise<void> {
  const projection = counts(keyed, version)
  await using app = appOn(database, [projection])
  await app.start({ handleSignals: false })
  const { sequence } = await app.publish(noted({ note }))
  await app.waitFor(projection, sequence)
}

test.for([false, true])(
  'stored states are made new ones by upcasters, without deriving them again (keyed: %s)',
  async (keyed) => {
    await runWith(keyed, 1)
    await runWith(keyed, 1, 'b')
    // Whatever could be derived is not: only the stored state tells.
    const table = keyed ? 'projection_states' : 'cursors'
    await database.query(`update tidemark.${table} set state = '{"n": 70}'`)
    await runWith(keyed, 2)
    expect(await read(keyed, 2)).toEqual({ n: 71n })
    await runWith(keyed, 3)
    expect(await read(keyed, 3)).toEqual({ count: 72n, last: expect.any(Date) })
    // A key that nobody has touched since is still of the first version.
    expect(await read(keyed, 3, 'b')).toMatchObject({ count: keyed ? 70n : 72n })
  },
)

test.for([false, true])(
  'a process that is too old for a stored state leaves it to newer ones, and counts nothing (keyed: %s)',
  async (keyed) => {
    await runWith(keyed, 2)
    const old = counts(keyed, 1)
    await using app = appOn(database, [old])
    await app.start({ handleSignals: false })
    const { sequence } = await app.publish(noted({ note: 'a' }))
    await expect
      .poll(async () => (await app.listeners.get('counts')).partitions[0], { timeout: 15_000 })
      .toMatchObject({
        awaits: { type: 'the state of counts', version: 2 },
        attempts: 0,
        owner: null,
      })
    await expect(read(keyed, 1)).rejects.toMatchObject({ code: 'TIDEMARK_PROJECTION_TOO_NEW' })
    const young = counts(keyed, 2)
    await using newer = appOn(database, [young])
    await newer.start({ handleSignals: false })
    await newer.waitFor(young, sequence)
    expect(await read(keyed, 2)).toEqual({ n: 2n })
  },
)

test.for([
  [false, 'skip'],
  [true, 'park'],
] as const)(
  'a state that cannot be read halts the projection whatever its policy, and is never overwritten (keyed: %s)',
  async ([keyed, policy]) => {
    await runWith(keyed, 1)
    const table = keyed ? 'projection_states' : 'cursors'
    for (const broken of [`'{"n": "seven"}'`, `'[null]'`, `'"text"'`]) {
      await database.query(`update tidemark.${table} set state = ${broken}`)
      const projection = counts(keyed, 2, policy)
      await using app = appOn(database, [projection])
      await app.start({ handleSignals: false })
      const { sequence } = await app.publish(noted({ note: 'a' }))
      await expect(app.waitFor(projection, sequence)).rejects.toMatchObject({
        code: 'TIDEMARK_LISTENER_HALTED',
        details: { lastError: { code: 'TIDEMARK_PROJECTION_UNREADABLE' } },
      })
      const { rows } = await database.query(
        `select state = ${broken} as kept from tidemark.${table}`,
      )
      expect(rows).toEqual([{ kept: true }])
      await app.listeners.resume('counts')
    }
    const letters = await database.query('select from tidemark.dead_letters')
    expect(letters.rowCount).toBe(0)
  },
)

test('a definition says how each older state is read', () => {
  const options = { version: 1, initial: () => 0 }
  const define = (more: object) => () => defineProjection('p', { ...options, ...more } as never)
  const refused = { code: 'TIDEMARK_INVALID_OPTION' }
  expect(define({ stateVersion: 3, upcastState: { 1: Number } })).toThrow(
    expect.objectContaining(refused),
  )
  expect(define({ upcastState: { 1: Number } })).toThrow(expect.objectContaining(refused))
  expect(define({ stateVersion: 0 })).toThrow(expect.objectContaining(refused))
  expect(define({ stateVersion: 2, upcastState: { 1: Number }, mode: 'inline' })).toThrow(
    expect.objectContaining(refused),
  )
})
