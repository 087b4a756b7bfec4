import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { isTidemarkError, type App } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { noted } from '../support/effects.ts'
import { ReplicatedPair } from '../support/standby.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { appOn } from '../support/test-app.ts'
import { WorkerProcess } from '../support/worker-process.ts'

// Two servers are made and started for each.
vi.setConfig({ testTimeout: 120_000 })

const leaseDuration = 2_000

/** Publishes a note until the server has said that it is there: again, with its key, when the answer was lost. */
async function publishSurely(app: App, note: string): Promise<void> {
  for (;;) {
    try {
      await app.publish(noted({ note }), { idempotencyKey: note })
      return
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_DUPLICATE_EVENT')) return
      // Nobody tells a client that a server is back.
      await pause(20)
    }
  }
}

interface Outcome {
  readonly notes: readonly string[]
  readonly committed: readonly string[]
  readonly effects: readonly string[]
  readonly tally: number
}

async function outcomeOn(url: string): Promise<Outcome> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: events } = await client.query<{ note: string; sequence: string }>(
      `select payload ->> 'note' as note, sequence from tidemark.events order by sequence`,
    )
    const { rows: effects } = await client.query<{ sequence: string }>(
      `select sequence from effects where listener = 'ledger' order by id`,
    )
    const { rows } = await client.query<{ notes: number }>(
      `select (state ->> 'notes')::integer as notes from tidemark.cursors where listener = 'tally'`,
    )
    return {
      notes: events.map(({ note }) => note),
      committed: events.map(({ sequence }) => sequence),
      effects: effects.map(({ sequence }) => sequence),
      tally: rows[0]?.notes ?? 0,
    }
  } finally {
    await client.end()
  }
}

async function settled(app: App, last: string): Promise<void> {
  const { sequence } = await app.publish(noted({ note: last }))
  await app.waitFor(['ledger', 'tally'], sequence, { timeout: '60s' })
}

test('a synchronous standby that is promoted under load: what was confirmed is there, handled once and in order', async () => {
  await using pair = await ReplicatedPair.start()
  await pair.makeSynchronous()
  await using proxy = await TcpProxy.open(pair.primary.url(pair.name))
  await using app = appOn({ url: proxy.url, schema: 'tidemark' }, [noted])
  await using worker = await WorkerProcess.start({ url: proxy.url, name: 'worker', leaseDuration })

  const notes = Array.from({ length: 4 }, (_, lane) =>
    Array.from({ length: 60 }, (_unused, n) => `${lane}/${n}`),
  )
  const half = Promise.withResolvers<void>()
  const load = notes.map(async (lane, index) => {
    for (const [n, note] of lane.entries()) {
      await publishSurely(app, note)
      if (index === 0 && n === 20) half.resolve()
    }
  })
  await half.promise
  {
    // A standby knows of no publisher: what it took for settled, a publisher may still commit before.
    await using reader = appOn({ url: pair.standby.url(pair.name), schema: 'tidemark' }, [noted])
    await expect(reader.events().next()).rejects.toMatchObject({ code: 'TIDEMARK_STANDBY' })
  }
  await worker.reported('leaving')
  await pair.failOver()
  proxy.switchTo(pair.standby.url(pair.name))
  await Promise.all(load)
  await settled(app, 'last')

  const { notes: kept, committed, effects, tally } = await outcomeOn(pair.standby.url(pair.name))
  expect(kept.toSorted()).toEqual([...notes.flat(), 'last'].toSorted())
  expect(effects).toEqual(committed)
  expect(tally).toBe(committed.length)
  expect(worker.hasEnded).toBe(false)
})

test('an asynchronous standby that lacks the last events: they are gone with their effects, and those that are given their numbers again are handled', async () => {
  await using pair = await ReplicatedPair.start()
  await using proxy = await TcpProxy.open(pair.primary.url(pair.name))
  await using app = appOn({ url: proxy.url, schema: 'tidemark' }, [noted])
  await using worker = await WorkerProcess.start({ url: proxy.url, name: 'worker', leaseDuration })
  await settled(app, 'replicated')
  const onStandby = pair.standby.url(pair.name)
  await vi.waitFor(async () => expect((await outcomeOn(onStandby)).tally).toBe(1), {
    timeout: 20_000,
    interval: 50,
  })
  await pair.cutOff()
  const lost = await app.publish(Array.from({ length: 80 }, (_, n) => noted({ note: `lost ${n}` })))
  await app.waitFor(['ledger', 'tally'], lost.at(-1)?.sequence ?? null)
  await pair.failOver()
  proxy.switchTo(onStandby)

  for (let n = 0; n < 60; n++) await publishSurely(app, `new ${n}`)
  await settled(app, 'last')
  const { notes, committed, effects, tally } = await outcomeOn(onStandby)
  expect(notes).toEqual(['replicated', ...Array.from({ length: 60 }, (_, n) => `new ${n}`), 'last'])
  expect(effects).toEqual(committed)
  expect(tally).toBe(committed.length)
  // Else nothing would have been given a number again.
  expect(committed.map(BigInt)).toContain(lost.at(-1)?.sequence)
  expect(worker.hasEnded).toBe(false)
})
