import { defineEvent, defineJob, defineListener, defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

class Money {
  cents: number
  constructor(cents: number) {
    this.cents = cents
  }
}

const money = z.codec(z.number(), z.instanceof(Money), {
  decode: (cents) => new Money(cents),
  encode: (value) => value.cents,
})

const moved = defineEvent('isolation.moved', {
  payload: z.object({
    list: z.array(z.number()),
    deep: z.object({ n: z.number() }),
    at: z.date(),
    names: z.map(z.string(), z.number()),
    tags: z.set(z.string()),
    bytes: z.instanceof(Uint8Array),
    money,
  }),
})
const plain = defineEvent('isolation.plain', {
  payload: z.object({ list: z.array(z.number()), deep: z.object({ n: z.number() }) }),
})

const whole = {
  list: [3, 1, 2],
  deep: { n: 1 },
  at: new Date(1000),
  names: new Map([['a', 1]]),
  tags: new Set(['a']),
  bytes: new Uint8Array([1, 2]),
  money: new Money(5),
}

test('what one listener does to an event no other sees, nor does its own next attempt', async () => {
  const refusals: unknown[] = []
  const seen: unknown[] = []
  const attempt = (change: () => void): void => {
    try {
      change()
    } catch (error) {
      refusals.push(error)
    }
  }
  const vandal = (name: string) =>
    defineListener(name, { retry: { attempts: 3, backoff: () => 0 } }).on(
      moved,
      (event, context) => {
        const { payload, metadata, recordedAt } = event
        seen.push(structuredClone({ ...payload, money: payload.money.cents, recordedAt, metadata }))
        attempt(() => payload.list.push(4))
        attempt(() => (payload.deep.n = 99))
        attempt(() => ((event as { payload: unknown }).payload = null))
        payload.at.setTime(0)
        payload.names.set('b', 2)
        payload.tags.clear()
        payload.bytes.fill(0)
        payload.money.cents = 0
        recordedAt.setTime(0)
        ;(metadata['at'] as Date).setTime(0)
        if (context.attempt < 2) throw new Error('once more')
      },
    )
  const listeners = ['first', 'second', 'third'].map(vandal)
  await using app = appOn(database, [...listeners])
  await app.start()
  const { sequence } = await app.publish(moved(whole), { metadata: { at: new Date(7), n: 5n } })
  await app.waitFor(listeners, sequence)
  expect(seen).toHaveLength(6)
  const recordedAt = (seen[0] as { recordedAt: Date }).recordedAt
  for (const one of seen) {
    expect(one).toEqual({ ...whole, money: 5, recordedAt, metadata: { at: new Date(7), n: 5n } })
  }
  expect(refusals).toHaveLength(18)
  expect(refusals.every((error) => error instanceof TypeError)).toBe(true)
})

test('equal projections that keep and change what is in payloads fold the same', async () => {
  const total = (name: string) =>
    defineProjection(name, {
      version: 1,
      initial: (): { kept: { n: number } | null; days: Map<string, number> | null } => ({
        kept: null,
        days: null,
      }),
      retry: { attempts: 20, backoff: () => 0 },
    })
      .on(plain, (state, { payload }) => {
        if (state.kept === null) return { ...state, kept: payload.deep }
        state.kept.n += payload.deep.n
        return state
      })
      .on(moved, (state, { payload }) => {
        if (state.days === null) return { ...state, days: payload.names }
        state.days.set('a', (state.days.get('a') ?? 0) + (payload.names.get('a') ?? 0))
        return state
      })
  const projections = ['one', 'two', 'three'].map(total)
  await using app = appOn(database, [...projections])
  await app.start()
  for (const n of [1, 2, 3]) {
    await app.publish(plain({ list: [], deep: { n } }))
    await app.publish(moved({ ...whole, names: new Map([['a', n]]) }))
  }
  const last = await app.publish(plain({ list: [], deep: { n: 0 } }))
  await app.waitFor(projections, last.sequence)
  for (const projection of projections) {
    expect(await app.read(projection)).toEqual({ kept: { n: 6 }, days: new Map([['a', 6]]) })
  }
})

test('keys whose initial state is one object do not share it', async () => {
  const shared = { list: [] as number[], at: new Set<number>() }
  const keyed = defineProjection('keyed', {
    version: 1,
    keyed: true,
    initial: () => shared,
  }).on(
    plain,
    (state, { payload }) => {
      state.list.push(payload.deep.n)
      state.at.add(payload.deep.n)
      return state
    },
    { key: ({ payload }) => `k${payload.deep.n}` },
  )
  const single = defineProjection('single', { version: 1, initial: () => shared }).on(
    plain,
    (state, { payload }) => {
      state.list.push(payload.deep.n)
      return state
    },
  )
  await using app = appOn(database, [keyed, single])
  await app.start()
  const published = await app.publish([1, 2, 1].map((n) => plain({ list: [], deep: { n } })))
  await app.waitFor([keyed, single], published.at(-1)?.sequence ?? null)
  expect(await app.read(keyed, 'k1')).toEqual({ list: [1, 1], at: new Set([1]) })
  expect(await app.read(keyed, 'k2')).toEqual({ list: [2], at: new Set([2]) })
  expect((await app.read(single)).list).toEqual([1, 2, 1])
  expect(shared).toEqual({ list: [], at: new Set() })
})

test('what a job does to the output of a step is not what the step has given', async () => {
  const outputs: unknown[] = []
  const job = defineJob('isolation_job', {
    input: z.object({}),
    retry: { attempts: 2, backoff: () => 0 },
    run: async (_, ctx) => {
      const output = await ctx.step('list', () => ({ list: [3, 1, 2], at: new Date(5) }))
      outputs.push(structuredClone(output))
      output.list.reverse()
      output.at.setTime(0)
      if (outputs.length === 1) throw new Error('once more')
    },
  })
  await using app = appOn(database, [job])
  await app.start()
  const handle = await app.jobs.spawn(job, {})
  await handle.result()
  expect(outputs).toEqual([
    { list: [3, 1, 2], at: new Date(5) },
    { list: [3, 1, 2], at: new Date(5) },
  ])
})

test('what one inline projection does to an event the next does not see', async () => {
  const seen: unknown[] = []
  const vandal = (name: string) =>
    defineProjection(name, { version: 1, mode: 'inline', tables: [name] }).on(
      moved,
      async (event) => {
        await Promise.resolve()
        seen.push(structuredClone(event.payload.at))
        event.payload.at.setTime(0)
        event.payload.tags.clear()
      },
    )
  const folding = defineProjection('folding', {
    version: 1,
    mode: 'inline',
    initial: () => ({ at: [] as Date[], tags: 0 }),
  }).on(moved, (state, { payload }) => ({
    at: [...state.at, payload.at],
    tags: state.tags + payload.tags.size,
  }))
  await database.query('create table first_vandal (); create table second_vandal ()')
  await using app = appOn(database, [vandal('first_vandal'), vandal('second_vandal'), folding])
  await app.publish([moved(whole), moved(whole)])
  await app.transaction(async (tx) => tx.publish(moved(whole)))
  expect(seen).toEqual(Array.from({ length: 6 }, () => whole.at))
  const three = Array.from({ length: 3 }, () => whole.at)
  expect(await app.read(folding)).toEqual({ at: three, tags: 3 * whole.tags.size })
})

test('what becomes of an object after it was given away is not sent, in no way of giving it', async () => {
  const inputs: unknown[] = []
  const taker = defineJob('isolation_taker', {
    input: z.object({ list: z.array(z.number()), at: z.date() }),
    run: async ({ input }) => {
      inputs.push(input)
    },
  })
  const seen: unknown[] = []
  const fresh = () => ({ list: [1], at: new Date(5) })
  /** Gives an object away and spoils it, at once and whenever the event loop comes round until it has been taken. */
  const spoiled = async (give: (value: ReturnType<typeof fresh>) => unknown): Promise<void> => {
    const value = fresh()
    const given = Promise.resolve(give(value))
    let going = true
    const spoil = (): void => {
      value.list.push(99)
      value.at.setTime(0)
      if (going) setImmediate(spoil)
    }
    spoil()
    await given
    going = false
  }
  const giver = defineJob('isolation_giver', {
    input: z.object({}),
    state: z.object({ list: z.array(z.number()), at: z.date() }).prefault(fresh),
    retry: { attempts: 2, backoff: () => 0 },
    run: async (_, ctx) => {
      if (seen.length === 0) {
        await spoiled((value) => ctx.spawn(taker, value))
        await ctx.transaction((tx) => spoiled((value) => tx.spawn(taker, value)))
        await spoiled((value) => ctx.checkpoint(value))
        await spoiled((value) => ctx.variables.set('given', value))
      }
      const variable = ctx.variables.get('given') as ReturnType<typeof fresh>
      seen.push(structuredClone([variable, ctx.state, ...ctx.variables.entries()]))
      variable.list.push(7)
      variable.at.setTime(7)
      expect(ctx.variables.get('given')).toEqual(fresh())
      if (seen.length === 1) throw new Error('once more')
    },
  })
  await using app = appOn(database, [taker, giver, moved])
  await app.start()
  await spoiled((value) => app.jobs.spawn(taker, value))
  await app.transaction((tx) => spoiled((value) => tx.spawn(taker, value)))
  const handle = await app.jobs.spawn(giver, {})
  await handle.result()
  const of = [fresh(), fresh(), ['given', fresh()]]
  expect(seen).toEqual([of, of])
  await expect.poll(() => inputs).toEqual(Array.from({ length: 4 }, fresh))
  // A draft is what was given to its definition.
  const metadata = { at: new Date(5) }
  const given = structuredClone({ at: whole.at })
  const publishing = app.publish(moved({ ...whole, at: given.at }), { metadata, stream: 'given-1' })
  given.at.setTime(0)
  metadata.at.setTime(0)
  await publishing
  for await (const event of app.stream('given-1')) {
    expect(event).toMatchObject({ metadata: { at: new Date(5) }, payload: { at: whole.at } })
  }
})

test('events that are read more than once are each a value of its own', async () => {
  await using app = appOn(database, [moved])
  await app.publish(moved(whole), { stream: 's-1' })
  for await (const event of app.events()) {
    ;(event.payload as { at: Date }).at.setTime(0)
  }
  for await (const event of app.stream('s-1')) {
    expect((event.payload as { at: Date }).at).toEqual(whole.at)
  }
})
