import { defineEvent, defineJob, defineSchedule, isTidemarkError, silentLogger } from 'tidemark'
import { afterEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// A process whose clock is wrong, by hours or by years: what is stored, and what is waited for, goes by the server's.
const database = useFreshDatabase()
const hour = 3_600_000
const wrong = [-hour, 400 * 24 * hour]
const noted = defineEvent('clocks.noted', { payload: z.object({ wanted: z.boolean() }) })

afterEach(() => {
  vi.useRealTimers()
})

/** Only the date is wrong: timers go on. */
function setClock(ahead: number): void {
  vi.useRealTimers()
  if (ahead === 0) return
  const now = Date.now() + ahead
  vi.useFakeTimers({ toFake: ['Date'], now })
}

/** The server's time of something, in milliseconds from now. */
async function away(text: string, values: readonly unknown[] = []): Promise<number> {
  const { rows } = await database.query(
    `select abs(extract(epoch from ${text} - clock_timestamp()) * 1000)::float8 as away`,
    values,
  )
  return rows[0]?.['away'] as number
}

const nothing = defineJob('nothing', { input: z.object({}), run: () => {} })

/** The first tick of a schedule in the year 2030, or the code of the error. */
function verdictOn(cron: string): string | null {
  try {
    const schedule = defineSchedule('judged', { cron, job: nothing, input: {} })
    return schedule.nextAfter(new Date('2030-01-01T00:00:00Z'))?.toISOString() ?? null
  } catch (error) {
    return isTidemarkError(error) ? error.code : String(error)
  }
}

test.for(wrong)(
  'what a job leaves has times of the server, with a clock that is %i ms ahead',
  async (ahead) => {
    const job = defineJob('timed', {
      input: z.object({}),
      run: async (_job, ctx) => {
        ctx.log.info({}, 'said')
        await ctx.step('plain', () => {})
        await ctx.step('large', () => 'x'.repeat(100_000))
        await ctx.transaction(async () => {}, { step: 'committed' })
        await ctx
          .step('failing', () => {
            throw new Error('as told')
          })
          .catch(() => {})
        await ctx.sleep('nap', 1)
      },
    })
    setClock(ahead)
    await using app = appOn(database, [job], { logger: silentLogger })
    await using _ = await app.start()
    const handle = await app.jobs.spawn(job, {}, { delay: 1 })
    await handle.result()
    for (const step of await app.jobs.steps(handle.id)) {
      expect([step.id, await away('$1::timestamptz', [step.startedAt])]).toEqual([
        step.id,
        expect.toSatisfy((ms: number) => ms < 60_000),
      ])
      expect((step.completedAt?.getTime() ?? 0) - step.startedAt.getTime()).toBeGreaterThanOrEqual(
        0,
      )
    }
    const [line] = await app.jobs.logs(handle.id)
    expect(await away('$1::timestamptz', [line?.at])).toBeLessThan(60_000)
  },
)

test.for(wrong)(
  'a step is tried again in time by another process, begun with a clock that is %i ms ahead',
  async (ahead) => {
    let tries = 0
    const job = defineJob('tried', {
      input: z.object({}),
      run: async (_job, ctx) => {
        await ctx.step(
          'flaky',
          () => {
            tries += 1
            if (tries === 1) throw new Error('the first time')
          },
          { retry: { attempts: 2, backoff: () => 700 } },
        )
      },
    })
    setClock(ahead)
    const first = appOn(database, [job], { logger: silentLogger })
    await first.start()
    const { id } = await first.jobs.spawn(job, {})
    await untilStatus(database, id, 'scheduled')
    await first.close()
    const stored = `to_timestamp((output ->> 'until')::float8 / 1000)`
    expect(
      await away(`(select ${stored} from tidemark.job_steps where job = $1)`, [id]),
    ).toBeLessThan(60_000)
    setClock(0)
    await using second = appOn(database, [job], { logger: silentLogger })
    await using _ = await second.start()
    await second.jobs.handle(id).result()
    expect(tries).toBe(2)
  },
)

test.for(wrong)(
  'a wait for an event ends in time, whatever it has passed by, with a clock that is %i ms ahead',
  async (ahead) => {
    const job = defineJob('waited', {
      input: z.object({}),
      output: z.boolean(),
      run: async (_job, ctx) => {
        const event = await ctx.waitForEvent('wait', noted, {
          timeout: '1s',
          after: 0n as never,
          where: ({ payload }) => payload.wanted,
        })
        return event !== undefined
      },
    })
    setClock(ahead)
    await using app = appOn(database, [job, noted], { logger: silentLogger })
    // Which is looked at, and not wanted.
    await app.publish(noted({ wanted: false }))
    const runner = await app.start()
    const handle = await app.jobs.spawn(job, {})
    await untilStatus(database, handle.id, 'scheduled')
    await until(
      database,
      `select (output ->> 'until')::float8 between extract(epoch from clock_timestamp() - interval '1 min') * 1000
       and extract(epoch from clock_timestamp() + interval '1 min') * 1000 from tidemark.job_steps where job = $1`,
      true,
      [handle.id],
    )
    await runner.stop()
    setClock(0)
    await using other = appOn(database, [job, noted], { logger: silentLogger })
    await using _ = await other.start()
    expect(await handle.result()).toBe(false)
  },
)

test('a schedule is run by hand with a tick of the server, also before any process has started it', async () => {
  const job = defineJob('ticked', { input: z.object({ at: z.date() }), run: () => {} })
  const schedule = defineSchedule('by_hand', { cron: '@daily', job, input: (at) => ({ at }) })
  setClock(400 * 24 * hour)
  await using app = appOn(database, [job, schedule], { logger: silentLogger })
  const { id } = await app.jobs.schedules.run('by_hand')
  const { input } = await app.jobs.get(id)
  expect(await away('$1::timestamptz', [(input as { at: Date }).at])).toBeLessThan(60_000)
})

test('what a cron expression means, and whether it means anything, is the same on every day', () => {
  const crons = [
    '0 0 29 2 *',
    '0 0 30 2 *',
    '0 0 31 4 *',
    '0 0 31 2,4,6 *',
    '0 0 L * *',
    '0 0 * * 5L',
    '0 0 * * 1#5',
    '0 0 29 2 1#5',
    '0 0 1 1 * 2026',
    '2026-12-31T00:00:00',
    '2999-12-31T00:00:00',
    '0 0 0 1 1 *',
    '@yearly',
    '@annually',
    '@reboot',
    '@every 5m',
    '30 2 29 3 *',
    '60 * * * *',
    '0 24 * * *',
    '0 0 0 * *',
    '*/61 * * * *',
    '0 0 1-7 * 1',
  ]
  const days = [
    '2024-02-28T23:59:59Z',
    '2026-12-31T23:59:59Z',
    '2099-07-01T00:00:00Z',
    '1999-01-01T00:00:00Z',
  ]
  const judged = days.map((day) => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date(day) })
    return crons.map((cron) => [cron, verdictOn(cron)])
  })
  for (const verdicts of judged) expect(verdicts).toEqual(judged[0])
})
