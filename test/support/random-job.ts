import { setTimeout as delay } from 'node:timers/promises'
import type { TestDatabase } from '@tidemark/testing'
import { defineEvent, defineJob, type JobContext } from 'tidemark'
import { z } from 'zod'
import { labelOf, valueOf } from './plan-outcomes.ts'
import { anythingThrown, nameOf, thrown, type Outcome, type Plan } from './plans.ts'

// What a random job is, and its code: a plan that is played as code of a user would do it.

export interface RandomJob {
  readonly plan: Plan
  /** How often it fails when it has done all. */
  readonly again: number
  /** At the beginning of which of its steps, counted over all attempts, it is taken for lost. */
  readonly lostAt: number
  /** Which of its names are odd, and how. */
  readonly odd: number
}

/** What the test sees of one job. */
export class Story {
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

export const told = defineEvent('told', { payload: z.object({}) })

/** Runs a plan as code of a user would. */
class Playing {
  readonly #story: Story
  readonly #ctx: JobContext<unknown>
  readonly #child: Child
  readonly #disturb: () => Promise<void>

  constructor(story: Story, ctx: JobContext<unknown>, child: Child, disturb: () => Promise<void>) {
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

type Child = ReturnType<typeof childJob>

export function childJob() {
  return defineJob('child', {
    input: z.object({ plan: z.custom<Plan>() }),
    retry: { attempts: 1 },
    run: ({ input: { plan } }) => {
      if (plan.do === 'child that fails') throw thrownBy(plan)
      return valueOf(plan)
    },
  })
}

/** The job that plays what its story says, and is taken for lost where that says so. */
export function randomJob(
  database: TestDatabase,
  stories: ReadonlyMap<string, Story>,
  child: Child,
) {
  return defineJob('random', {
    input: z.object({ n: z.string() }),
    retry: { attempts: 40, backoff: () => 5, retryable: (error) => !(error instanceof EvalError) },
    run: async (job, ctx) => {
      const story = stories.get(job.input.n)
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
}
