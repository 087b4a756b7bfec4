import { setTimeout as delay } from 'node:timers/promises'
import { defineJob, defineSchedule, type Executor } from 'tidemark'
import { z } from 'zod'

async function note(tx: Executor, what: string, job: string, op: string): Promise<void> {
  await tx.query('INSERT INTO job_effects (what, job, op) VALUES ($1, $2, $3)', [what, job, op])
}

/** A transaction and nothing else. */
export const settle = defineJob('settle', {
  input: z.object({ op: z.string() }),
  retry: { attempts: 1_000, backoff: () => 50 },
  transact: async (job, { tx }) => {
    await note(tx, 'settled', job.id, job.input.op)
    // An error that is swallowed: the attempt is rolled back all the same, and not taken for done.
    const swallows = job.attempt === 1 && /^burst-.*5$/u.test(job.input.op)
    if (swallows || Math.random() < 0.02) await tx.query('SELECT 1 / 0', []).catch(() => {})
  },
})

/** Does nothing in the database, for a while; says which attempt it was that has completed it. */
export const wander = defineJob('wander', {
  input: z.object({ op: z.string() }),
  retry: { attempts: 1_000, backoff: () => 50 },
  run: async (job) => {
    // Whoever does it again is in the middle of it when the one whose lease was lost comes to its end.
    await delay(Math.random() * (job.attempt > 1 ? 4_000 : 1_000))
    return { token: String(job.token) }
  },
})

/** Steps, a transaction that is a step, children and a sleep side by side, and an end that commits with its effect. */
export const story = defineJob('story', {
  input: z.object({ op: z.string() }),
  retry: { attempts: 1_000, backoff: () => 50 },
  run: async (job, context) => {
    const { op } = job.input
    const visit = await context.step('visit', () => `visit of ${op}`)
    await context.transaction(({ tx }) => note(tx, 'posted', job.id, op), { step: 'post' })
    await Promise.all([
      context.child('left', settle, { op: `${op}/left` }),
      context.child('right', settle, { op: `${op}/right` }),
      context.sleep('pause', 50),
    ])
    await context.transaction(async ({ tx, complete }) => {
      await note(tx, 'ended', job.id, op)
      complete(visit)
    })
  },
})

/** What the schedules spawn. */
export const tick = defineJob('tick', {
  input: z.object({ at: z.string() }),
  retry: { attempts: 1_000, backoff: () => 50 },
  transact: (job, { tx }) => note(tx, 'ticked', job.id, job.input.at),
})

const everySecond = { cron: '* * * * * *', timeZone: 'UTC', job: tick } as const

/** Fires each tick, also those of an outage. */
export const allTicks = defineSchedule('all-ticks', {
  ...everySecond,
  input: (at) => ({ at: `all ${at.toISOString()}` }),
  overlap: 'allow',
  catchUp: 'all',
})

/** Fires the last tick of an outage, and none while the job of the last one runs. */
export const lastTicks = defineSchedule('last-ticks', {
  ...everySecond,
  input: (at) => ({ at: `last ${at.toISOString()}` }),
  overlap: 'skip',
  catchUp: 'last',
})
