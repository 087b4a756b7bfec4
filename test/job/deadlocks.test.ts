import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import type pg from 'pg'
import { defineJob, type App } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import {
  claimJobs,
  releaseJobs,
  rescueJobs,
  wakeJobs,
} from '../../packages/core/src/database/sql/job/job-claim.ts'
import { completeJobs, fenceJobs } from '../../packages/core/src/database/sql/job/job-settle.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const job = defineJob('stressed', {
  input: z.object({ key: z.number(), unique: z.number() }),
  concurrencyKey: ({ key }) => `key ${key}`,
  uniqueKey: ({ unique }) => `unique ${unique}`,
  run: () => {},
})

interface Claimed {
  readonly id: string
  readonly token: string
}

/** One that does something to many jobs, or to one that others are busy with. */
type Deed = (actor: Actor) => Promise<void>

interface Actor {
  readonly app: App
  readonly client: pg.Client
  readonly process: string
  claimed: Claimed[]
  readonly random: (below: number) => number
}

const sorted = (claimed: readonly Claimed[]): unknown[] => {
  const inOrder = claimed.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  return [inOrder.map(({ id }) => id), inOrder.map(({ token }) => token)]
}

const deeds: Readonly<Record<string, Deed>> = {
  spawns: async ({ app, random }) => {
    await app.transaction(async ({ spawn }) => {
      await Promise.all(
        Array.from({ length: 8 }, () =>
          spawn(job, { key: random(4), unique: random(random(2) === 0 ? 12 : 1_000_000_000) }),
        ),
      )
    })
  },
  claims: async (actor) => {
    const { text } = claimJobs('tidemark')
    const { rows } = await actor.client.query<Claimed>(text, [
      actor.process,
      'default',
      ['stressed'],
      10,
      [1],
    ])
    actor.claimed.push(...rows)
  },
  completes: async (actor) => {
    const mine = actor.claimed.splice(0, 6)
    await actor.client.query(completeJobs('tidemark').text, [...sorted(mine), null, null])
  },
  completesInATransaction: async (actor) => {
    const mine = actor.claimed.splice(0, 6)
    await actor.client.query('begin')
    try {
      await actor.client.query(fenceJobs('tidemark').text, sorted(mine))
      await actor.client.query('select pg_sleep(0.002)')
      await actor.client.query(completeJobs('tidemark').text, [...sorted(mine), null, null])
      await actor.client.query('commit')
    } catch (error) {
      await actor.client.query('rollback')
      throw error
    }
  },
  givesBack: async (actor) => {
    await actor.client.query(releaseJobs('tidemark').text, sorted(actor.claimed.splice(0, 3)))
  },
  // No process is registered: whatever runs is somebody's who has died.
  rescues: async ({ client }) => {
    await client.query(rescueJobs('tidemark').text, [1, '{}'])
  },
  wakes: async ({ client }) => {
    await client.query(wakeJobs('tidemark').text, [0])
  },
  steers: async ({ app, client, random }) => {
    const { rows } = await client.query<{ id: string }>(
      'select id from tidemark.jobs order by created_at desc limit 30',
    )
    const id = rows[random(rows.length)]?.id
    if (id === undefined) return
    const how = [
      () => app.jobs.cancel(id),
      () => app.jobs.pause(id),
      () => app.jobs.resume(id),
      () => app.jobs.retry(id),
      () => app.jobs.reprioritise(id, random(3)),
    ]
    // It may have ended meanwhile, and then refuses.
    await how[random(how.length)]?.().catch((error: unknown) => {
      if (code(error) !== undefined) throw error
    })
  },
  prunes: async ({ app }) => {
    await app.jobs.prune({ name: 'stressed', olderThan: 1 })
  },
}

const code = (error: unknown): string | undefined => {
  const found = (error as { code?: string } | undefined)?.code
  return /^[0-9A-Z]{5}$/u.test(found ?? '') ? found : undefined
}

test('whoever spawns, claims, completes, rescues, steers and prunes at once, nobody deadlocks', async () => {
  const errors: unknown[] = []
  const names = Object.keys(deeds)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(1_000_000), { minLength: 60, maxLength: 60 }), {
        minLength: 6,
        maxLength: 6,
      }),
      async (scripts) => {
        await Promise.all(
          scripts.map(async (script) => {
            await using app = appOn(database, [job], { maxConnections: 4 })
            const client = await database.connect()
            let at = 0
            const actor: Actor = {
              app,
              client,
              process: randomUUID(),
              claimed: [],
              random: (below) =>
                (at++ * 7919 + (script[at % script.length] ?? 0)) % Math.max(1, below),
            }
            for (const number of script) {
              const deed = deeds[names[number % names.length] ?? ''] as Deed
              await deed(actor).catch((error: unknown) => errors.push(error))
            }
            await client.end()
          }),
        )
      },
    ),
    // A smaller script would only be luckier.
    { numRuns: 3, endOnFailure: true },
  )
  expect(errors).toEqual([])
  const { rows } = await database.query(
    `select deadlocks::int from pg_stat_database where datname = current_database()`,
  )
  expect(rows).toEqual([{ deadlocks: 0 }])
})

test('two transactions that spawn the same unique keys in opposite orders do not deadlock', async () => {
  await using app = appOn(database, [job])
  const keys = Array.from({ length: 40 }, (_, n) => n)
  for (let round = 0; round < 10; round++) {
    await Promise.all(
      [keys, keys.toReversed(), keys, keys.toReversed()].map((order) =>
        app.transaction(async ({ spawn }) => {
          await Promise.all(
            order.map((unique) => spawn(job, { key: 0, unique: unique + round * 100 })),
          )
        }),
      ),
    )
  }
  const { rows } = await database.query('select count(*)::int as jobs from tidemark.jobs')
  expect(rows).toEqual([{ jobs: 400 }])
})
