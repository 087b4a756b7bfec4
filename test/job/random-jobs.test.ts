import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { isTidemarkError, type App, type JobHandle, type Runner } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { admits } from '../support/plan-outcomes.ts'
import { partsOf, plans, type Outcome } from '../support/plans.ts'
import { childJob, randomJob, Story, told } from '../support/random-job.ts'
import { appOn } from '../support/test-app.ts'

// Jobs at random against what JavaScript says of promises. A seed is five jobs, with connections that end at some of
// their writes; several seeds go on at once in one database, in two processes that take jobs from each other, one of
// which is stopped and started anew again and again. TIDEMARK_RUNS says how many seeds, SEED which is the first.

const runs = Number(process.env['TIDEMARK_RUNS'] ?? 10)
const firstSeed = Number(process.env['SEED'] ?? 20_261_128)
const jobsOfSeed = 5
const seedsOfDatabase = 40
const atOnce = 5
const seedsOfRunner = 4
const hung = 60_000

vi.setConfig({ testTimeout: 60_000 + seedsOfDatabase * 2 * hung })

const database = useFreshDatabase()

const sample = fc.record({
  jobs: fc.array(
    fc.record({
      plan: plans,
      again: fc.constantFrom(0, 0, 1, 2),
      lostAt: fc.nat(8),
      odd: fc.nat(10),
    }),
    { minLength: jobsOfSeed, maxLength: jobsOfSeed },
  ),
  /** The writes at which the connection ends, counted from those of before over all jobs. */
  crashes: fc.uniqueArray(fc.nat(120), { maxLength: 6 }),
})

/** Lets the connection of the write end whose turn it is: what it wrote is gone. */
async function letWritesFail(): Promise<void> {
  await database.query('create sequence writes minvalue 0')
  await database.query('create table crash_at (n bigint primary key)')
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

/** What went otherwise with a job than it must. */
async function complaintsOf(id: string, story: Story, outcome: Outcome): Promise<string[]> {
  const complaints: string[] = []
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
  // Cut off by a deploy, or lost; also for want of time: a busy machine may miss a short lease.
  const { rows: lost } = await database.query<{ n: number }>(
    `select count(*)::int as n from tidemark.job_attempts where job = $1 and outcome in ('lost', 'released')`,
    [id],
  )
  for (const part of partsOf(plan)) {
    if ((committed.get(part.id) ?? 0) > 1) complaints.push(`${part.id} committed twice: ${what}`)
    // A step whose end could not be stored is run again: once for each time that its job was taken away. A connection that ends repeats nothing.
    const most = 1 + (lost[0]?.n ?? 0)
    if ((story.effects.get(part.id) ?? 0) > most) complaints.push(`${part.id} repeated: ${what}`)
  }
  // What has failed is run again after such a failure, and may come to something else.
  if (again > 0) return complaints
  for (const [race, winners] of story.races) {
    if (winners.size > 1) complaints.push(`race ${race} was decided again: ${what}`)
  }
  return complaints
}

/** What there is of a job that does not end: it is gone with the test. */
async function history(app: App, id: string, story: Story, error: unknown): Promise<string> {
  const steps = await app.jobs.steps(id)
  const attempts = await app.jobs.attempts(id)
  const { rows } = await database.query('select * from tidemark.jobs where id = $1', [id])
  const { rows: now } = await database.query(
    'select now(), array(select id from tidemark.processes)',
  )
  const shown = { error, row: rows[0], now: now[0], attempts, steps, plan: story.job.plan }
  return `${id} does not end: ${inspect(shown, { depth: 12, maxStringLength: 200 })}`
}

/** Some seeds in one database, several at once. */
class Round {
  readonly complaints: string[] = []
  readonly #stories = new Map<string, Story>()
  readonly #child = childJob()
  readonly #random = randomJob(database, this.#stories, this.#child)
  readonly #app = this.#newApp()
  #deploys = Promise.resolve()

  async run(seeds: readonly number[]): Promise<readonly string[]> {
    await using app = this.#app
    const runner = await app.start(this.#options(hung))
    let other = await this.#deploy()
    await letWritesFail()
    const left = [...seeds]
    let ended = 0
    const playSome = async (): Promise<void> => {
      for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
        this.complaints.push(...(await this.#play(seed)))
        ended += 1
        if (ended % seedsOfRunner > 0) continue
        const before = this.#deploys
        const deploy = async (): Promise<void> => {
          await before
          await other.stop()
          other = await this.#deploy(ended)
        }
        this.#deploys = deploy()
      }
    }
    await Promise.all(Array.from({ length: atOnce }, playSome))
    await this.#deploys
    await Promise.all([this.#stop(runner), other.stop()])
    return this.complaints
  }

  /** One process more, which is impatient sometimes. */
  async #deploy(n = 0): Promise<{ stop: () => Promise<void> }> {
    const app = this.#newApp()
    const runner = await app.start(this.#options([hung, 0, 50, 300][n % 4] ?? hung))
    return {
      stop: async () => {
        await this.#stop(runner)
        await app.close()
      },
    }
  }

  async #stop(runner: Runner): Promise<void> {
    const late = Symbol('late')
    const end: unknown = await Promise.race([runner.stop(), delay(hung, late, { ref: false })])
    if (end === late) this.complaints.push('stop() does not end')
  }

  /** Spawns the jobs of a seed, tells some of them things, and judges how they end. */
  async #play(seed: number): Promise<readonly string[]> {
    const app = this.#app
    const [drawn] = fc.sample(sample, { numRuns: 1, seed })
    if (drawn === undefined) return ['no sample']
    await database.query(
      `insert into crash_at select distinct w.last_value + c from writes w, unnest($1::bigint[]) c
       on conflict do nothing`,
      [drawn.crashes],
    )
    const playing = drawn.jobs.map(async (job, index) => {
      const n = `${seed}/${index}`
      const story = new Story(job)
      this.#stories.set(n, story)
      const handle = await app.jobs.spawn(this.#random, { n })
      const telling = this.#tell(handle.id, index)
      try {
        const outcome = await this.#outcomeOf(handle)
        return await complaintsOf(handle.id, story, outcome)
      } catch (error) {
        return [await history(app, handle.id, story, error)]
      } finally {
        await telling
      }
    })
    const complaints = await Promise.all(playing)
    return complaints.flat().map((complaint) => `SEED=${seed}: ${complaint}`)
  }

  /** What a job comes to. One that gets on is not hung, however slow the machine is. */
  async #outcomeOf(handle: JobHandle<unknown>): Promise<Outcome> {
    for (let before = ''; ;) {
      try {
        return (await handle.result({ timeout: hung })) as Outcome
      } catch (error) {
        const { rows } = await database.query<{ got: string }>(
          `select token || ' ' || (select count(*) from tidemark.job_steps where job = id) as got
           from tidemark.jobs where id = $1`,
          [handle.id],
        )
        const got = rows[0]?.got ?? ''
        if (!isTidemarkError(error, 'TIDEMARK_WAIT_TIMEOUT') || got === before) throw error
        before = got
      }
    }
  }

  async #tell(id: string, index: number): Promise<void> {
    if (index > 1) return
    await delay(index * 20)
    // One that has ended is not told anything.
    await this.#app.jobs.signal(id, 'told').catch(() => {})
    await this.#app.publish(told({}))
  }

  #newApp(): App {
    return appOn(database, [this.#random, this.#child, told])
  }

  #options(drainTimeout: number) {
    return { handleSignals: false, leaseDuration: 1_000, drainTimeout }
  }
}

const rounds = Array.from({ length: Math.ceil(runs / seedsOfDatabase) }, (_, round) => {
  const first = firstSeed + round * seedsOfDatabase
  const count = Math.min(seedsOfDatabase, runs - round * seedsOfDatabase)
  return Array.from({ length: count }, (__, n) => first + n)
})

test.for(rounds.map((seeds) => [seeds[0], seeds] as const))(
  'jobs at random come to what their code says, from SEED=%i',
  async ([, seeds]) => {
    expect(await new Round().run(seeds)).toEqual([])
  },
)
