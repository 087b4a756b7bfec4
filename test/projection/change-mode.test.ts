import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { defineProjection, type App, type Module } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { committedEvents, effectsOf, noted, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 240_000 })

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 30, leaseDuration: 2_000 }

type Mode = 'async' | 'inline'

interface Seen {
  readonly version: number
  readonly seen: readonly bigint[]
}

/** One deploy: a projection with state and one with a table, both of which keep every event that they saw. */
function deploy(version: number, mode: Mode, batchSize = 500) {
  const state = defineProjection('state', {
    version,
    mode,
    batchSize,
    initial: (): Seen => ({ version, seen: [] }),
  }).on(noted, ({ seen }, event) => ({ version, seen: [...seen, event.sequence] }))
  const table = defineProjection('table', { version, mode, batchSize, tables: ['effects'] }).on(
    noted,
    (event, { tx }) => recordEffect(tx, 'table', event, String(version)),
  )
  return { state, table } satisfies Module
}

async function modes(): Promise<unknown> {
  const { rows } = await database.query(
    `select mode, version, rebuild_version as rebuild from tidemark.listeners order by name`,
  )
  return rows
}

const settledAt = (version: number, mode: Mode): unknown =>
  Array.from({ length: 2 }, () => ({ mode, version, rebuild: null }))

async function expectStillAsync(): Promise<void> {
  expect(await modes()).toMatchObject([{ mode: 'async' }, { mode: 'async' }])
}

async function reaches(version: number, mode: Mode): Promise<void> {
  await expect.poll(modes, { timeout: 30_000, interval: 20 }).toEqual(settledAt(version, mode))
}

// A rebuild comes to an end only if it is faster than what is published.
const most = 100

/** Publishers that go on until they are told to stop, some of whose transactions roll back. */
function publishers(app: App, count: number, pause: number, until: AbortSignal) {
  let going = true
  const running = Array.from({ length: count }, async (_, publisher) => {
    for (let n = 0; going && n < most && !until.aborted; n++) {
      await app
        .transaction(async (tx) => {
          if (publisher % 2 === 0) tx.publish(noted({ note: `early ${n}` }))
          await tx.query('select pg_sleep($1)', [((publisher + n) % 3) * pause])
          tx.publish(noted({ note: `${publisher}/${n}` }))
          if ((publisher + n) % 5 === 0) throw new Error('rolled back')
        })
        .catch((error: unknown) => {
          if (!(error instanceof Error && error.message === 'rolled back')) throw error
        })
    }
  })
  return {
    async stop(): Promise<void> {
      going = false
      await Promise.all(running)
    },
  }
}

/** Aborts when a test is over, however it ends. */
function endOf(): Disposable & { readonly signal: AbortSignal } {
  const over = new AbortController()
  return { signal: over.signal, [Symbol.dispose]: () => over.abort() }
}

/** Every committed event once, in order, made by this version alone. */
async function expectAll(app: App, { state }: ReturnType<typeof deploy>, version: number) {
  const committed = await committedEvents(database)
  const last = committed.at(-1)
  if (last !== undefined) await app.waitFor(['state', 'table'], last as never, { timeout: '30s' })
  expect(await app.read(state)).toEqual({ version, seen: committed })
  expect(await effectsOf(database, 'table')).toEqual(committed)
  const { rows } = await database.query('select distinct process from effects')
  expect(rows).toEqual([{ process: String(version) }])
  expect(committed.length).toBeGreaterThan(0)
}

test('through any changes of its mode, with old and new publishers side by side, a projection sees every event once and in order', async () => {
  const run = fc.record({
    changes: fc.constantFrom<readonly Mode[]>(
      ['async', 'inline', 'async'],
      ['inline', 'async', 'inline'],
    ),
    batchSize: fc.constantFrom(1, 7, 500),
    count: fc.integer({ min: 1, max: 4 }),
    pause: fc.constantFrom(0.001, 0.005),
  })
  await fc.assert(
    fc.asyncProperty(run, async ({ changes, batchSize, count, pause }) => {
      await database.query('truncate tidemark.events, tidemark.listeners, effects cascade')
      using end = endOf()
      await using opened = new AsyncDisposableStack()
      const open = (definitions: Module): App =>
        opened.use(appOn(database, [definitions], { maxConnections: 8 }))
      let version = 1
      let definitions = deploy(version, changes[0] as Mode, batchSize)
      let app = open(definitions)
      let running = await app.start(runner)
      let publishing = publishers(app, count, pause, end.signal)
      for (const mode of changes.slice(1)) {
        version += 1
        const next = deploy(version, mode, batchSize)
        const newer = open(next)
        const newPublishing = publishers(newer, count, pause, end.signal)
        const newRunning = await newer.start(runner)
        if (mode === 'inline') {
          // Somebody who publishes without applying is about: it waits for him.
          await expectStillAsync()
          await publishing.stop()
          await running.stop()
          await reaches(version, mode)
        } else {
          await reaches(version, mode)
          await publishing.stop()
          await running.stop()
        }
        await app.close()
        ;[app, running, publishing, definitions] = [newer, newRunning, newPublishing, next]
      }
      await publishing.stop()
      await expectAll(app, definitions, version)
      await app.close()
    }),
    { numRuns: 3, endOnFailure: true },
  )
})

test('without a raised version a change of the mode is refused, and nothing changes', async () => {
  for (const [from, to] of [
    ['inline', 'async'],
    ['async', 'inline'],
  ] as const) {
    await database.query('truncate tidemark.events, tidemark.listeners, effects cascade')
    const before = deploy(1, from)
    {
      await using app = appOn(database, [before])
      await using _ = await app.start(runner)
      const { sequence } = await app.publish(noted({ note: 'one' }))
      await app.waitFor(['state', 'table'], sequence)
    }
    await using changed = appOn(database, [deploy(1, to)])
    await expect(changed.start(runner)).rejects.toMatchObject({ code: 'TIDEMARK_MODE_CHANGED' })
    await expect(changed.reset({ name: 'state' })).rejects.toMatchObject({
      code: 'TIDEMARK_MODE_CHANGED',
    })
    expect(await modes()).toEqual(settledAt(1, from))
    await using app = appOn(database, [before])
    expect((await app.read(before.state)).seen).toHaveLength(1)
  }
})

test('without a raised version nothing is published past an async projection that should be inline', async () => {
  {
    await using app = appOn(database, [deploy(1, 'async')])
    await using _ = await app.start(runner)
  }
  await using app = appOn(database, [deploy(1, 'inline')])
  await expect(app.publish(noted({ note: 'two' }))).rejects.toMatchObject({
    code: 'TIDEMARK_MODE_CHANGED',
  })
  expect(await committedEvents(database)).toEqual([])
})

test('an old process leaves an async projection of a newer version alone, and is not started beside an inline one', async () => {
  const first = deploy(1, 'inline')
  {
    await using app = appOn(database, [first])
    await using _ = await app.start(runner)
    await app.publish(noted({ note: 'one' }))
  }
  const second = deploy(2, 'async')
  await using app = appOn(database, [second])
  await app.start(runner)
  await reaches(2, 'async')
  {
    await using old = appOn(database, [first])
    await using _ = await old.start(runner)
    await old.publish(noted({ note: 'two' }))
  }
  await expectAll(app, second, 2)
  await app.close()

  const third = deploy(3, 'inline')
  await using newest = appOn(database, [third])
  await newest.start(runner)
  await reaches(3, 'inline')
  await using late = appOn(database, [second])
  await expect(late.start(runner)).rejects.toMatchObject({
    code: 'TIDEMARK_MODE_CHANGED',
    hint: expect.stringContaining('deploy the newer version') as string,
  })
  await expectAll(newest, third, 3)
})

test('becoming inline waits for a transaction that published before', async () => {
  const first = deploy(1, 'async')
  {
    await using app = appOn(database, [first])
    await using _ = await app.start(runner)
    const { sequence } = await app.publish(noted({ note: 'one' }))
    await app.waitFor(['state', 'table'], sequence)
  }
  await using late = await SqlPublisher.open(database)
  await late.begin()
  await using old = appOn(database, [noted])
  await old.publish(noted({ note: 'late' }), { tx: late.client })
  const second = deploy(2, 'inline')
  await using app = appOn(database, [second])
  const starting = app.start(runner)
  // Half a second is enough to become inline, if it did not wait.
  await Promise.race([starting, delay(500, undefined, { ref: false })])
  expect(await modes()).toEqual(settledAt(1, 'async'))
  await late.commit()
  await starting
  await reaches(2, 'inline')
  await expectAll(app, second, 2)
})
