import { defineListener, type App, type EventSequence, type Listener } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { committedEvents, effectsOf, noted, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 120_000 })

const database = useFreshDatabase()
const runner = { handleSignals: false, leaseDuration: 2_000, acquireInterval: 50 }

function ledger(partitions: number, by = 'ledger'): Listener {
  return defineListener('ledger', { partitions, batchSize: 20 }).on(
    noted,
    async (event, { tx }) => {
      await recordEffect(tx, 'ledger', event, by)
    },
  )
}

/** Publishes `count` events over `keys` keys; answers the last sequence. */
async function publish(app: App, count: number, keys = 7): Promise<EventSequence> {
  const published = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      app.publish(noted({ note: String(n) }), { key: `k${n % keys}` }),
    ),
  )
  return published.reduce(
    (most, { sequence }) => (sequence > most ? sequence : most),
    0n,
  ) as EventSequence
}

/** For each key, whether its effects came in the order of their sequences, each once, and none is missing. */
async function exactlyOncePerKey(): Promise<void> {
  const effects = await effectsOf(database, 'ledger')
  expect(effects.toSorted((a, b) => Number(a - b))).toEqual(await committedEvents(database))
  const { rows } = await database.query<{ key: string; sequences: string[] }>(
    `select e.key, array_agg(f.sequence::text order by f.id) as sequences
     from effects f join tidemark.events e using (sequence) group by e.key`,
  )
  for (const { key, sequences } of rows) {
    const inOrder = sequences.map(BigInt).toSorted((a, b) => Number(a - b))
    expect({ key, sequences: sequences.map(BigInt) }).toEqual({ key, sequences: inOrder })
  }
}

/** Who owns the listener's partitions, in their order. */
async function owners(app: App): Promise<(string | null)[]> {
  return (await app.listeners.get('ledger')).partitions.map(({ owner }) => owner)
}

test('events with the same key keep their order; partitions share the keys out', async () => {
  await using app = appOn(database, [ledger(4)])
  await app.start(runner)
  await app.waitFor('ledger', await publish(app, 300))
  await exactlyOncePerKey()
  expect(await owners(app)).toHaveLength(4)
})

test('two processes share a listener; one that joins gets its half, and what one that leaves had is taken over, within seconds', async () => {
  await using first = appOn(database, [ledger(4, 'first')])
  const one = await first.start(runner)
  await first.waitFor('ledger', await publish(first, 40))
  expect(one.partitions).toHaveLength(4)

  await using second = appOn(database, [ledger(4, 'second')])
  const two = await second.start(runner)
  const joined = Date.now()
  await expect.poll(() => two.partitions.length, { timeout: 10_000, interval: 20 }).toBe(2)
  expect(one.partitions).toHaveLength(2)
  expect(Date.now() - joined).toBeLessThan(5_000)
  await first.waitFor('ledger', await publish(first, 200))
  const { rows } = await database.query('select distinct process from effects order by process')
  expect(rows).toEqual([{ process: 'first' }, { process: 'second' }])

  const left = Date.now()
  await two.stop()
  await expect.poll(() => one.partitions.length, { timeout: 10_000, interval: 20 }).toBe(4)
  expect(Date.now() - left).toBeLessThan(5_000)
  await first.waitFor('ledger', await publish(first, 40))
  await exactlyOncePerKey()
})

test('a listener that a running version does not know is left alone by it, and run by one that does', async () => {
  await using old = appOn(database, [noted, ledger(1)])
  await old.start(runner)
  const added = defineListener('added').on(noted, async (event, { tx }) => {
    await recordEffect(tx, 'added', event)
  })
  await using fresh = appOn(database, [ledger(1), added])
  const runs = await fresh.start(runner)
  const { sequence } = await old.publish(noted({ note: 'one' }))
  await old.waitFor('added', sequence)
  await old.waitFor('ledger', sequence)
  // With the new process gone nobody runs it, which can be seen, and nothing is lost.
  await runs.stop()
  const later = await old.publish(noted({ note: 'two' }))
  await old.waitFor('ledger', later.sequence)
  expect((await old.listeners.get('added')).partitions).toMatchObject([{ owner: null }])
  await fresh.start(runner)
  await old.waitFor('added', later.sequence)
  expect(await effectsOf(database, 'added')).toEqual(await committedEvents(database))
})

test('the number of partitions goes up and down under load: nothing is lost, nothing twice, every key in order', async () => {
  let publishing = true
  let last = 0n as EventSequence
  const started: App[] = []
  await using publisher = appOn(database, [noted])
  const load = (async () => {
    while (publishing) {
      const sequence = await publish(publisher, 30)
      if (sequence > last) last = sequence
      // Load, but not more than a busy machine can still work off at the end.
      if (started.length < 2 || sequence < 1_000n) continue
      const behind = (sequence - 1_000n) as EventSequence
      await publisher.waitFor('ledger', behind, { timeout: '60s' })
    }
  })()
  const inForce = async (): Promise<unknown> => {
    const { rows } = await database.query(
      `select partitions, resize_to from tidemark.listeners where name = 'ledger'`,
    )
    return rows[0]
  }
  try {
    for (const partitions of [1, 4, 2, 7, 3, 1]) {
      // A deploy: the new code starts while the old one still runs, which goes then.
      const app = appOn(database, [ledger(partitions)])
      started.push(app)
      await app.start(runner)
      await started.at(-2)?.close()
      await expect
        .poll(inForce, { timeout: 30_000, interval: 20 })
        .toEqual({ partitions, resize_to: null })
      const before = last
      await expect.poll(() => last > before, { timeout: 30_000 }).toBe(true)
    }
    publishing = false
    await load
    await publisher.waitFor('ledger', last, { timeout: '60s' })
  } finally {
    publishing = false
    await load.catch(() => {})
    await Promise.all(started.map((app) => app.close()))
  }
  await exactlyOncePerKey()
})

test('a listener that waits for its next attempt, with other partitions ahead of it, is resized when it has come as far', async () => {
  let broken = true
  const moody = (partitions: number): Listener =>
    defineListener('ledger', { partitions, retry: { attempts: 1_000, backoff: () => 50 } }).on(
      noted,
      async (event, { tx }) => {
        if (broken && event.key === 'k0') throw new Error('not yet')
        await recordEffect(tx, 'ledger', event)
      },
    )
  await using app = appOn(database, [moody(3)])
  await app.start(runner)
  const last = await publish(app, 60)
  await expect
    .poll(async () => (await effectsOf(database, 'ledger')).length, { timeout: 20_000 })
    .toBeGreaterThan(0)
  await using next = appOn(database, [moody(2)])
  await next.start(runner)
  expect(await owners(app)).toHaveLength(3)
  broken = false
  await expect.poll(() => owners(app), { timeout: 20_000 }).toHaveLength(2)
  await app.waitFor('ledger', last)
  await exactlyOncePerKey()
})
