import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { defineEvent, defineJob, type JobContext } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { admits, labelOf, valueOf } from '../support/plan-outcomes.ts'
import {
  anythingThrown,
  nameOf,
  partsOf,
  plans,
  thrown,
  type Outcome,
  type Plan,
} from '../support/plans.ts'
import { appOn } from '../support/test-app.ts'

// Jobs at random against what JavaScript says of promises: TIDEMARK_RUNS says how many rounds of how many jobs, SEED
// which. A round is one database, two processes that take jobs from each other, and connections that end at some write.

const runs = Number(process.env['TIDEMARK_RUNS'] ?? 2)
const seed = Number(process.env['SEED'] ?? 20_261_128)
const jobsOfRound = 25
const hung = 60_000

vi.setConfig({ testTimeout: 30_000 + runs * 2 * hung })

const database = useFreshDatabase()

interface RandomJob {
  readonly plan: Plan
  /** How often it fails when it has done all. */
  readonly again: number
  /** At the beginning of which of its steps, counted over all attempts, it is taken for lost. */
  readonly lostAt: number
  /** Which of its names are odd, and how. */
  readonly odd: number
}

const round = fc.record({
  jobs: fc.array(
    fc.record({
      plan: plans,
      again: fc.constantFrom(0, 0, 1, 2),
      lostAt: fc.nat(8),
      odd: fc.nat(10),
    }),
    { minLength: jobsOfRound, maxLength: jobsOfRound },
  ),
  /** The writes at which the connection ends, counted over all jobs. */
  crashes: fc.uniqueArray(fc.nat(600), { maxLength: 30 }),
})

/** What the test sees of one job. */
class Story {
  readonly job: RandomJob
  readonly effects = new Map<number, number>()
  readonly tries = new Map<number, number>()
  /** For each race, what it has come to, in each attempt. */
  readonly races = new Map<number, Set<string>>()
  begun = 0
  ends = 0

  constructor(job: RandomJob) {
    this.job = job
  }

  count(counts: Map<number, number>, id: number): number {
    const next = (counts.get(id) ?? 0) + 1
    counts.set(id, next)
    return next
  }
}

function describe(error: unknown): string {
  let message = ''
  try {
    const text: unknown = (error as { message?: unknown } | null | undefined)?.message
    if (typeof text === 'string') message = text
  } catch {
    return '*'
  }
  const [label] = /L\d+\./u.exec(message) ?? []
  if (label !== undefined) return label
  if (message.startsWith('All promises were rejected')) return 'all of any'
  if (/TIDEMARK_PAYLOAD_NOT_STORABLE/u.test(message)) return 'not storable'
  if (/child job .* was failed/u.test(message)) return '*'
  if (/TIDEMARK_|Connection terminated|terminating connection|ECONN/u.test(message)) return message
  return '*'
}

const told = defineEvent('told', { payload: z.object({}) })

/** Runs a plan as code of a user would. */
class Playing {
  readonly #story: Story
  readonly #ctx: JobContext<unknown>
  readonly #child: ReturnType<typeof childJob>
  readonly #disturb: () => Promise<void>

  constructor(
    story: Story,
    ctx: JobContext<unknown>,
    child: ReturnType<typeof childJob>,
    disturb: () => Promise<void>,
  ) {
    this.#story = story
    this.#ctx = ctx
    this.#child = child
    this.#disturb = disturb
  }

  async play(plan: Plan): Promise<unknown> {
    const ctx = this.#ctx
    const name = nameOf(plan, this.#story.job.odd)
    switch (plan.do) {
      case 'throw':
        throw thrownBy(plan)
      case 'step that throws':
        return ctx.step(name, async () => {
          await this.#disturb()
          throw thrownBy(plan)
        })
      case 'unstorable':
        return ctx.step(name, () => {
          this.#story.count(this.#story.effects, plan.id)
          return () => 'a function'
        })
      case 'step':
        return this.#step(name, plan)
      case 'transaction':
        return ctx.transaction(
          async ({ tx }) => {
            await this.#disturb()
            await tx.query(`insert into effects (listener, sequence) values ($1, $2)`, [
              String(ctxJob.get(ctx)),
              plan.id,
            ])
            return valueOf(plan)
          },
          { step: name },
        )
      case 'child':
      case 'child that fails':
        return ctx.child(name, this.#child, { plan })
      case 'sleep':
        await ctx.sleep(name, plan.for)
        return plan.id
      case 'event':
        await ctx.waitForEvent(name, told, { timeout: plan.for })
        return plan.id
      case 'signal':
        await ctx.waitForSignal(name, 'told', { timeout: plan.for })
        return plan.id
      default:
        return this.#branch(plan.id, plan.do, plan.plans)
    }
  }

  #step(
    name: string,
    plan: Extract<Plan, { do: 'step' | 'transaction' | 'child' }>,
  ): Promise<unknown> {
    return this.#ctx.step(
      name,
      async () => {
        await this.#disturb()
        if (this.#story.count(this.#story.tries, plan.id) <= plan.fails) throw new Error('not yet')
        this.#story.count(this.#story.effects, plan.id)
        return valueOf(plan)
      },
      { retry: { attempts: plan.fails + 1, backoff: (attempt) => (attempt % 2) * 60 } },
    )
  }

  async #branch(id: number, what: string, parts: readonly Plan[]): Promise<unknown> {
    const begin = (): Promise<unknown>[] => parts.map((part) => this.play(part))
    const [first, ...others] = parts as readonly [Plan, ...Plan[]]
    switch (what) {
      case 'all':
        return Promise.all(begin())
      case 'map':
        return this.#ctx.map(parts, (part) => this.play(part), { concurrency: 2 })
      case 'race': {
        const won = await Promise.race(
          begin().map(async (branch, index) => ({ index, outcome: await settled(branch) })),
        )
        // What an attempt is told that was cut off decides nothing.
        if (this.#ctx.signal.aborted) return 'cut off'
        const before = this.#story.races.get(id) ?? new Set()
        this.#story.races.set(id, before.add(`${won.index}`))
        if ('error' in won.outcome) throw new Error(won.outcome.error)
        return won.outcome.ok
      }
      case 'any':
        return Promise.any(begin())
      case 'allSettled':
        return Promise.all(begin().map(settled))
      case 'catch':
        try {
          return await this.play(first)
        } catch {
          return this.#sequence(others)
        }
      case 'finally':
        try {
          return await this.play(first)
        } finally {
          await this.#sequence(others)
        }
      default:
        return this.#sequence(parts)
    }
  }

  async #sequence(parts: readonly Plan[]): Promise<unknown> {
    let last: unknown
    for (const part of parts) last = await this.play(part)
    return last
  }
}

const ctxJob = new WeakMap<object, string>()

async function settled(promise: Promise<unknown>): Promise<Outcome> {
  try {
    return { ok: await promise }
  } catch (error) {
    return { error: describe(error) }
  }
}

function thrownBy(plan: Plan): unknown {
  const value = 'value' in plan ? plan.value : 0
  // Every third is something that nobody has thought of.
  if (value % 3 === 2) return anythingThrown(value)
  return thrown[value % thrown.length]?.(labelOf(plan))
}

function childJob() {
  return defineJob('child', {
    input: z.object({ plan: z.custom<Plan>() }),
    retry: { attempts: 1 },
    run: ({ input: { plan } }) => {
      if (plan.do === 'child that fails') throw thrownBy(plan)
      return valueOf(plan)
    },
  })
}

/** Lets the connection of the write end whose turn it is: what it wrote is gone. */
async function letWritesFail(crashes: readonly number[]): Promise<void> {
  await database.query('create sequence writes minvalue 0')
  await database.query('create table crash_at (n bigint primary key)')
  await database.query('insert into crash_at select unnest($1::bigint[])', [crashes])
  await database.query(`create function crash() returns trigger language plpgsql as $$
    declare n_ bigint := nextval('public.writes');
    begin
      if exists (select from public.crash_at c where c.n = n_) then
        perform pg_terminate_backend(pg_backend_pid());
        perform pg_sleep(5);
      end if;
      return new;
    end $$`)
  for (const [table, what] of [
    ['job_steps', 'insert or update'],
    ['job_waits', 'insert or update'],
    ['job_attempts', 'insert'],
    ['job_signals', 'update'],
    ['jobs', 'update'],
  ]) {
    await database.query(
      `create trigger crash before ${what} on tidemark.${table} for each row execute function public.crash()`,
    )
  }
}

/** Plays a round; answers what went otherwise than it must. */
async function play({
  jobs,
  crashes,
}: {
  jobs: RandomJob[]
  crashes: number[]
}): Promise<string[]> {
  const complaints: string[] = []
  const stories = new Map<string, Story>()
  const child = childJob()
  const random = defineJob('random', {
    input: z.object({ n: z.number() }),
    retry: { attempts: 40, backoff: () => 5, retryable: (error) => !(error instanceof EvalError) },
    run: async (job, ctx) => {
      const story = stories.get(String(job.input.n))
      if (story === undefined) throw new EvalError('no story')
      ctxJob.set(ctx, job.id)
      const disturb = async (): Promise<void> => {
        if (story.begun++ !== story.job.lostAt) return
        // Whose connection ends with this very write has not failed: it is what the test does to the job, not its code.
        const away = `update tidemark.jobs set process = '00000000-0000-7000-8000-000000000000'
          where id = $1 and status = 'running'`
        while (!(await database.query(away, [job.id]).then(Boolean, () => false)));
        // Long enough, mostly, to be taken meanwhile.
        await delay(150)
      }
      const outcome = await settled(new Playing(story, ctx, child, disturb).play(story.job.plan))
      if (story.ends++ < story.job.again) throw new Error('again')
      return outcome
    },
  })
  const modules = [random, child, told]
  const options = { handleSignals: false, leaseDuration: 1_000 }
  await using one = appOn(database, modules)
  await using two = appOn(database, modules)
  const runners = [await one.start(options), await two.start(options)]
  await letWritesFail(crashes)
  const handles = []
  for (const [n, job] of jobs.entries()) {
    stories.set(String(n), new Story(job))
    handles.push(await one.jobs.spawn(random, { n }))
  }
  await Promise.all(
    handles.slice(0, 10).map(async ({ id }, n) => {
      await delay(n * 20)
      // One that has ended is not told anything.
      await one.jobs.signal(id, 'told').catch(() => {})
      await one.publish(told({}))
    }),
  )
  const ended = handles.map(async (handle, n) => {
    const outcome = (await handle.result({ timeout: hung })) as Outcome
    return { id: handle.id, outcome, story: stories.get(String(n)) as Story }
  })
  for (const { id, outcome, story } of await Promise.all(ended)) {
    const { plan, again } = story.job
    const what = JSON.stringify({ plan, outcome, again, id }, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    )
    if (!admits(plan, outcome)) complaints.push(`no way to this outcome: ${what}`)
    const { rows } = await database.query<{ id: number; n: number }>(
      'select sequence::int as id, count(*)::int as n from effects where listener = $1 group by 1',
      [id],
    )
    const committed = new Map(rows.map((row) => [row.id, row.n]))
    // Also for want of time: a busy machine may miss a short lease.
    const { rows: lost } = await database.query<{ n: number }>(
      `select count(*)::int as n from tidemark.job_attempts where job = $1 and outcome = 'lost'`,
      [id],
    )
    for (const part of partsOf(plan)) {
      if ((committed.get(part.id) ?? 0) > 1) complaints.push(`${part.id} committed twice: ${what}`)
      // A step whose end could not be stored is run again: once for each time that its job was taken for lost. A connection that ends repeats nothing.
      const most = 1 + (lost[0]?.n ?? 0)
      if ((story.effects.get(part.id) ?? 0) > most) complaints.push(`${part.id} repeated: ${what}`)
    }
    // What has failed is run again after such a failure, and may come to something else.
    if (again > 0) continue
    for (const [race, winners] of story.races) {
      if (winners.size > 1) complaints.push(`race ${race} was decided again: ${what}`)
    }
  }
  const stopped = Promise.all(runners.map((runner) => runner.stop()))
  const late = Symbol('late')
  const end: unknown = await Promise.race([stopped, delay(hung, late, { ref: false })])
  if (end === late) complaints.push('stop() does not end')
  return complaints
}

test.for(fc.sample(round, { numRuns: runs, seed }).map((sample, n) => [n, sample] as const))(
  'jobs at random come to what their code says, round %i',
  async ([, sample]) => {
    expect(await play(sample)).toEqual([])
  },
)
