import { isDeepStrictEqual } from 'node:util'
import { createApi } from '@tidemark/http'
import { openStore } from '@tidemark/stores'
import { MemoryBackend } from '@tidemark/stores/memory'
import { PostgresBackend } from '@tidemark/stores/postgres'
import fc from 'fast-check'
import {
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  defineRelay,
  foldEntity,
  headersOf,
  isTidemarkError,
  messageFrom,
  type App,
  type EventDefinition,
  type EventSequence,
  type OutgoingMessage,
  type RelayStream,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ApiClient } from '../http/client.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { identifiers, schemaCases } from './random-schema.ts'

const database = useFreshDatabase()

const refusals = [
  'TIDEMARK_INVALID_EVENT',
  'TIDEMARK_PAYLOAD_NOT_STORABLE',
  'TIDEMARK_UNSTABLE_SCHEMA',
  'TIDEMARK_INVALID_OPTION',
] as const

/** What was accepted: the payload that the program was told it has, and the stream that it is in. */
interface Accepted {
  readonly payload: unknown
  readonly stream: string
}

/** Publishes values of one definition under many spellings of streams; what is refused must have sent nothing. */
async function publishAll(
  app: App,
  definition: EventDefinition,
  samples: readonly (readonly [unknown, string])[],
): Promise<Accepted[]> {
  const accepted: Accepted[] = []
  for (const [value, stream] of samples) {
    const before = await count()
    try {
      const draft = definition({ value } as never)
      await app.publish(draft, { stream, metadata })
      accepted.push({ payload: draft.payload, stream })
    } catch (error) {
      if (!refusals.some((code) => isTidemarkError(error, code))) throw error
      if ((await count()) !== before) throw new Error('what was refused was sent', { cause: error })
    }
  }
  return accepted
}

async function count(): Promise<number> {
  const { rows } = await database.query('SELECT count(*)::integer AS n FROM tidemark.events')
  return rows[0]?.['n'] as number
}

async function lastSequence(): Promise<EventSequence> {
  const { rows } = await database.query('SELECT max(sequence) AS last FROM tidemark.events')
  return BigInt(rows[0]?.['last'] as string) as EventSequence
}

function equal(read: unknown, written: unknown, where: string): void {
  if (isDeepStrictEqual(read, written)) return
  // Prints what differs.
  expect(read, where).toStrictEqual(written)
}

/** A broker's stream in memory. */
class Stream implements RelayStream {
  readonly messages: OutgoingMessage[] = []
  readonly stream = 'memory'

  async openForWriting(): Promise<RelayStream> {
    return this
  }
  async tip() {
    const last = this.messages.at(-1)
    return { created: 'once', position: BigInt(this.messages.length), last }
  }
  send(messages: readonly OutgoingMessage[]): void {
    this.messages.push(...messages)
  }
  async stored(): Promise<void> {}
  async close(): Promise<void> {}
}

const runs = Number(process.env['TIDEMARK_RUNS'] ?? 12)
const cases = fc.sample(fc.tuple(schemaCases, fc.integer()), {
  numRuns: runs,
  seed: Number(process.env['SEED'] ?? 42),
})

const metadata = { at: new Date(5), n: 2n ** 70n, tags: new Set(['a']) }

interface All {
  readonly all: readonly unknown[]
}

/** What codecs make of a value; as it is where a transform goes one way, and the value is what it answers anyway. */
function encoded(schema: z.ZodType, value: unknown): unknown {
  try {
    return z.encode(schema, value)
  } catch (error) {
    if (error instanceof z.core.$ZodEncodeError) return value
    throw error
  }
}

/** The definitions of one schema, and what their handlers see. */
function definitionsOf(schema: z.ZodType, index: number) {
  const event = defineEvent(`property.e${index}`, { payload: z.object({ value: schema }) })
  const initial = (): All => ({ all: [] })
  const state = z.object({ all: z.array(z.object({ value: schema })) })
  const fold = (before: All, { payload }: { payload: unknown }): All => ({
    all: [...before.all, payload],
  })
  const options = { version: 1, initial, state: state as unknown as z.ZodType<All> }
  const input = z.object({ value: schema })
  const job = defineJob(`property_j${index}`, {
    input,
    output: input,
    state: z.object({ kept: z.array(input) }).default({ kept: [] }),
    retry: { attempts: 2, backoff: () => 0 },
    run: async (run, ctx) => {
      const waited = await ctx.waitForEvent('waited', event, { after: 0n as EventSequence })
      const signal = await ctx.waitForSignal('signal', 'value', { timeout: '30s' })
      // A step has no schema: what codecs made is encoded for it.
      const step = await ctx.step('step', () => encoded(input, waited?.payload))
      equal(await ctx.step('step again', () => step), step, 'a step')
      if (run.attempt === 1) {
        await ctx.checkpoint({ kept: [run.input] as never })
        throw new Error('again, with what was stored')
      }
      equal(ctx.state.kept, [run.input], 'a checkpoint')
      seen.set(run.id, [waited?.payload, input.parse(step), signal])
      return run.input
    },
  })
  return {
    event,
    job,
    folded: defineProjection(`folded_${index}`, options).on(event, fold),
    keyed: defineProjection(`keyed_${index}`, { ...options, keyed: true }).on(event, fold),
    inline: defineProjection(`inline_${index}`, { ...options, mode: 'inline' }).on(event, fold),
    entity: defineEntity(`entity${index}`, { initial, snapshotEvery: 1, state: options.state }).on(
      event,
      fold,
    ),
    /** What the next version of the application has in its place. */
    next: defineEvent(`property.e${index}`, {
      version: 2,
      payload: z.object({ moved: schema }),
      upcast: { 1: ((old: { value: unknown }) => ({ moved: old.value })) as never },
    }),
  }
}

const seen = new Map<string, unknown[]>()

function note(consumer: string, type: string, payload: unknown): void {
  const key = `${consumer} ${type}`
  seen.set(key, [...(seen.get(key) ?? []), payload])
}

test('what is accepted is read back equal by every consumer, in every store, upcast, after a rebuild and a restart', async () => {
  for (const rows of ['property_rows', 'inline_rows', 'keyed_rows']) {
    await database.query(`CREATE TABLE ${rows} (sequence text PRIMARY KEY, count integer)`)
  }
  seen.clear()
  const parts = cases.map(([{ schema }], index) => definitionsOf(schema, index))
  const listening = (name: string, events: readonly EventDefinition[]) =>
    defineListener(name).on(events, ({ type, payload }) => note(name, type, payload))
  const events = parts.map(({ event }) => event as unknown as EventDefinition)
  const table = defineProjection('property_rows', { version: 1, tables: ['property_rows'] }).on(
    events,
    async ({ type, payload, sequence }, { tx }) => {
      await tx.query('INSERT INTO property_rows VALUES ($1)', [sequence])
      note('table', type, payload)
    },
  )
  const inlineTable = defineProjection('inline_rows', {
    version: 1,
    mode: 'inline',
    tables: ['inline_rows'],
  }).batch(events, async (batch, { tx }) => {
    for (const { type, payload, sequence } of batch) {
      await tx.query('INSERT INTO inline_rows VALUES ($1)', [sequence])
      note('inline table', type, payload)
    }
  })
  const keyedTable = defineProjection('keyed_rows', {
    version: 1,
    keyed: true,
    initial: (): All => ({ all: [] }),
    table: {
      name: 'keyed_rows',
      key: 'sequence',
      columns: { count: ({ all }: All) => all.length },
    },
  }).on(
    events,
    ({ all }, { type, payload }) => {
      note('keyed table', type, payload)
      return { all: [...all, 'one more'] }
    },
    { key: ({ id }) => id },
  )
  const stream = new Stream()
  const relay = defineRelay('relay', { to: stream, events })
  const consumers = [
    listening('first', events),
    listening('second', events),
    table,
    keyedTable,
    relay,
  ]
  const modules = [
    ...consumers,
    inlineTable,
    ...parts.map(({ event, job, folded, keyed, inline }) => ({
      event,
      job,
      folded,
      keyed,
      inline,
    })),
  ]
  const kept = new Map<number, Accepted[]>()
  const ids = new Map<string, unknown>()
  {
    await using app = appOn(database, modules)
    await app.start()
    for (const [index, [{ value }, seed]] of cases.entries()) {
      const { event, entity, job } = parts[index] as (typeof parts)[number]
      const samples = fc.sample(fc.tuple(value, identifiers), { numRuns: 4, seed })
      const accepted = await publishAll(app, event, samples)
      if (accepted.length === 0) continue
      kept.set(index, accepted)
      for (const { payload } of accepted) {
        await app.decide(entity, 'one', () => event(payload as never))
      }
      const input = accepted[0]?.payload
      const handle = await app.jobs.spawn(job, input as never)
      ids.set(handle.id, input)
      await app.jobs.signal(handle.id, 'value', ids.size).catch(() => {})
    }
    const last = await lastSequence()
    await app.waitFor(
      [...consumers, ...parts.flatMap(({ folded, keyed }) => [folded, keyed])],
      last,
    )
    for (const [index, accepted] of kept) {
      const { event, entity } = parts[index] as (typeof parts)[number]
      const payloads = accepted.map(({ payload }) => payload)
      const twice = [...payloads, ...payloads]
      for (const name of ['first', 'second', 'table', 'inline table', 'keyed table'])
        equal(seen.get(`${name} ${event.type}`), twice, name)
      for (const again of ['loaded', 'loaded from a snapshot'])
        equal((await app.load(entity, 'one')).state.all, payloads, again)
      const recorded = await Array.fromAsync(app.stream(entity.streamOf('one')))
      equal(foldEntity(entity, recorded).all, payloads, 'folded without a database')
    }
    for (const [id, input] of ids) {
      equal(await app.jobs.handle(id).result(), (await app.jobs.get(id)).output, 'an output')
      equal(seen.get(id)?.slice(0, 2), [input, input], 'a wait and a step')
    }
    for (const { folded } of parts) await app.rebuild(folded)
    await app.rebuild(table)
    await expect.poll(() => app.rebuilds.list(), { timeout: 60_000 }).toEqual([])
  }

  // The next version, in a process that knows nothing.
  const moved = parts.map(({ next }) => next as unknown as EventDefinition)
  const upcast = listening('upcast', moved)
  await using app = appOn(database, [upcast, ...moved])
  await app.start()
  await app.waitFor(upcast, await lastSequence())
  await using old = appOn(database, modules)
  const stores = [
    openStore<unknown>(new MemoryBackend()),
    openStore<unknown>(new PostgresBackend(database, database.schema, 'property')),
  ]
  for (const message of stream.messages) {
    const read = messageFrom(new Map(Object.entries(headersOf(message))), message.payload)
    const { event, ...sent } = message
    equal(read, { ...sent }, `the relayed ${event.type}`)
    const { rows } = await database.query(
      `SELECT payload = $2::jsonb AND payload_meta IS NOT DISTINCT FROM $3::jsonb
         AND coalesce(metadata, '{}') = coalesce($4::jsonb, '{}') AS same
       FROM tidemark.events WHERE sequence = $1`,
      [message.sequence, message.payload, message.payloadMeta, message.metadata],
    )
    expect(rows, event.type).toEqual([{ same: true }])
  }
  expect(stream.messages).toHaveLength(await count())
  for (const [index, accepted] of kept) {
    const { event, folded, keyed, inline, job } = parts[index] as (typeof parts)[number]
    const payloads = accepted.map(({ payload }) => payload)
    const twice = [...payloads, ...payloads]
    equal((await old.read(folded)).all, twice, 'a state that was rebuilt')
    equal((await old.read(inline)).all, twice, 'an inline state')
    equal(seen.get(`table ${event.type}`)?.slice(twice.length), twice, 'a rebuilt table')
    equal(
      seen.get(`upcast ${event.type}`),
      twice.map((payload) => ({ moved: (payload as { value: unknown }).value })),
      'upcast',
    )
    for (const name of new Set(accepted.map((one) => one.stream))) {
      const there = accepted.filter((one) => one.stream === name).map(({ payload }) => payload)
      equal((await old.read(keyed, name)).all, there, 'a keyed state')
      const found = await Array.fromAsync(old.stream(name))
      const ofType = found.filter(({ type }) => type === event.type)
      for (const one of ofType) equal(one.metadata, metadata, 'metadata')
      equal(
        ofType.map(({ payload }) => payload),
        there,
        'a stream',
      )
    }
    for (const [position, { payload }] of payloads.map(
      (one, at) => [at, { payload: one }] as const,
    )) {
      for (const store of stores) {
        await store.put(`${index}/${position}`, { value: payload }).catch((error: unknown) => {
          // What only the codecs of its schema can write.
          if (!isTidemarkError(error, 'TIDEMARK_PAYLOAD_NOT_STORABLE')) throw error
        })
        const state = await store.get(`${index}/${position}`)
        if (state !== undefined) equal(state.value, payload, 'a store')
      }
    }
    for (const id of ids.keys()) {
      const view = await old.jobs.get(id)
      if (view.name === job.name)
        equal(await old.jobs.handle(job, id).result(), ids.get(id), 'a job')
    }
  }
  expect([...kept.values()].flat().length).toBeGreaterThan(runs)
  await checkShown(old, [...ids.keys()])

  // What SQL publishes of the same: text and notes, as they are stored.
  const before = await lastSequence()
  const { rows } = await database.query(
    `SELECT count(tidemark.publish(e.type, e.payload, payload_meta => e.payload_meta)) AS n
     FROM (SELECT * FROM tidemark.events WHERE type LIKE 'property.%' ORDER BY sequence) AS e`,
  )
  expect(Number(rows[0]?.['n'])).toBeGreaterThan(0)
  const again = await Array.fromAsync(old.events({ after: before }))
  for (const [index, accepted] of kept) {
    const { event } = parts[index] as (typeof parts)[number]
    const payloads = accepted.map(({ payload }) => payload)
    const read = again.filter(({ type }) => type === event.type).map(({ payload }) => payload)
    equal(read, [...payloads, ...payloads], 'published by SQL')
  }
}, 240_000)

/** What the API shows of events and jobs is what is stored. */
async function checkShown(app: App, jobs: readonly string[]): Promise<void> {
  const api = new ApiClient(createApi(app))
  const { rows } = await database.query<{ sequence: string; payload: string; meta: string | null }>(
    `SELECT sequence, payload::text AS payload, payload_meta::text AS meta FROM tidemark.events
     WHERE length(payload::text) < 5000 ORDER BY sequence`,
  )
  for (const { sequence, payload, meta } of rows) {
    const { status, body } = await api.get(`/events/${sequence}`)
    const shown = body['event'] as Record<string, unknown>
    const stored = [JSON.parse(payload), meta === null ? null : JSON.parse(meta)]
    equal([status, shown['payload'], shown['payloadMeta']], [200, ...stored], 'shown')
    const decoded = await api.get(`/events/${sequence}/decoded`)
    expect([decoded.status, decoded.body['error']]).toEqual([200, null])
  }
  for (const id of jobs) {
    const { status, body } = await api.get(`/jobs/${id}`)
    expect([status, body['status']]).toEqual([200, 'completed'])
  }
}
