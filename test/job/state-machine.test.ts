import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { defineJob, isTidemarkError } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// What becomes of a job is decided in one place, which is what docs/jobs.md draws; and nothing changes a status otherwise.

const database = useFreshDatabase()

const statuses = [
  'scheduled',
  'queued',
  'running',
  'paused',
  'completed',
  'failed',
  'cancelled',
] as const
const requests = [null, 'pause', 'cancel'] as const

interface Edge {
  readonly from: string
  readonly to: string
  readonly what: string
  /** Undefined: whatever was asked, unless another edge is about that. */
  readonly asked: string | undefined
}

/** The edges of the drawing. */
const edges = readEdges(readFileSync(new URL('../../docs/jobs.md', import.meta.url), 'utf8'))

function readEdges(page: string): readonly Edge[] {
  const [, drawing = ''] = /stateDiagram-v2\n([\s\S]*?)```/u.exec(page) ?? []
  return [...drawing.matchAll(/^ *(\S+) --> (\S+) : (.+)$/gmu)].flatMap(
    ([, from = '', to = '', label = '']) =>
      label.split(', ').map((part): Edge => {
        const [, what = '', asked] = /^(.+?)(?: \[(\w+)\])?$/u.exec(part) ?? []
        return { from, to, what, asked }
      }),
  )
}

function drawn(from: string, asked: string | null, what: string): string | null {
  const here = edges.filter((edge) => edge.from === from && edge.what === what)
  const edge =
    here.find((each) => each.asked !== undefined && each.asked === asked) ??
    here.find((each) => each.asked === undefined)
  return edge?.to ?? null
}

const things = [...new Set(edges.filter(({ from }) => from !== '[*]').map(({ what }) => what))]

test('the function that decides is the drawing, for every status, request and event', async () => {
  expect(edges.length).toBeGreaterThan(30)
  expect(new Set(edges.flatMap(({ from, to }) => [from, to]))).toEqual(
    new Set(['[*]', ...statuses]),
  )
  const { rows } = await database.query(
    `select s as status, r as asked, w as what, tidemark.job_after(s, r, w) as after
     from unnest($1::text[]) s, unnest($2::text[]) r, unnest($3::text[]) w`,
    [statuses, requests, [...things, 'nonsense']],
  )
  expect(rows).toHaveLength(statuses.length * requests.length * (things.length + 1))
  for (const { status, asked, what, after } of rows as Record<string, string>[]) {
    expect([status, asked, what, after]).toEqual([
      status,
      asked,
      what,
      drawn(status ?? '', asked ?? null, what ?? ''),
    ])
  }
})

/** Refuses every change of a status that is not in the drawing. */
async function guardStatuses(): Promise<void> {
  const allowed = [...new Set(edges.map(({ from, to }) => `${from} ${to}`))]
  await database.query(`
    create function only_drawn() returns trigger language plpgsql as $$ begin
      if not (old.status || ' ' || new.status = any ('{${allowed.map((each) => `"${each}"`).join(',')}}')) then
        insert into undrawn values (old.status || ' ' || new.status);
      end if; return null;
    end $$;
    create table undrawn (edge text);
    create trigger only_drawn after update of status on tidemark.jobs for each row
      when (old.status <> new.status) execute function only_drawn()`)
}

const steering = ['cancel', 'pause', 'resume', 'retry'] as const

test('every verb of an operator does what is drawn, in every status', async () => {
  await guardStatuses()
  const job = defineJob('still', { input: z.object({}), run: () => {} })
  await using app = appOn(database, [job])
  for (const status of statuses) {
    for (const asked of status === 'running' ? requests : [null]) {
      for (const verb of steering) {
        const { id } = await app.jobs.spawn(job, {})
        await database.query(
          `update tidemark.jobs set status = $2, requested = $3, finished_at = case when $4 then now() end,
             process = case when $2 = 'running' then gen_random_uuid() end where id = $1`,
          [id, status, asked, ['completed', 'failed', 'cancelled'].includes(status)],
        )
        const answer = await app.jobs[verb](id).catch((error: unknown) =>
          isTidemarkError(error, 'TIDEMARK_JOB_STATUS') ? null : Promise.reject(error as Error),
        )
        expect([status, asked, verb, answer]).toEqual([
          status,
          asked,
          verb,
          drawn(status, asked, verb),
        ])
        const view = await app.jobs.get(id)
        const isFinished = ['completed', 'failed', 'cancelled'].includes(view.status)
        expect([status, verb, view.status, view.finishedAt !== null]).toEqual([
          status,
          verb,
          view.status,
          isFinished,
        ])
        await database.query('delete from tidemark.jobs')
      }
    }
  }
})

/** The ways of an attempt to end, and what the history calls them. */
const ends = {
  completed: 'completed',
  failed: 'failed',
  retried: 'retried',
  suspended: 'suspended',
  released: 'released',
} as const

test.for(requests)(
  'an attempt of which was asked: %s, ends as drawn, however it ends',
  async (asked) => {
    const latch = new Latch()
    const deaf = defineJob('deaf', {
      input: z.object({ end: z.string() }),
      retry: {
        attempts: 2,
        backoff: () => 3_600_000,
        retryable: (error) => String(error).includes('retried'),
      },
      run: async ({ input }, ctx) => {
        await latch.pass()
        if (input.end === 'suspended') await ctx.snooze('1h')
        if (input.end === 'released') await new Promise(() => {})
        if (input.end !== 'completed') throw new Error(input.end)
      },
    })
    await using app = appOn(database, [deaf])
    const worker = await app.start({ jobs: { drainTimeout: 100 } })
    const ids = new Map<string, string>()
    for (const end of Object.keys(ends)) ids.set(end, (await app.jobs.spawn(deaf, { end })).id)
    await until(
      database,
      `select count(*)::int from tidemark.jobs where status = 'running'`,
      ids.size,
    )
    // Straight into the row: the attempt has not seen it when it ends.
    await database.query('update tidemark.jobs set requested = $1', [asked])
    latch.open()
    for (const [end, id] of ids) {
      if (end !== 'released') await untilStatus(database, id, drawn('running', asked, end) ?? '')
    }
    await worker.stop()
    for (const [end, id] of ids) {
      const view = await app.jobs.get(id)
      expect([end, view.status, view.requested]).toEqual([end, drawn('running', asked, end), null])
    }
  },
)

test('a job that was cancelled while it was claimed or lost is cancelled, and not run again', async () => {
  const job = defineJob('gone', { input: z.object({}), run: () => {} })
  await using app = appOn(database, [job])
  const dead = 'gen_random_uuid()'
  const ids: string[] = []
  for (const asked of requests) {
    const { id } = await app.jobs.spawn(job, {}, { queue: 'nobody' })
    ids.push(id)
    await database.query(
      `update tidemark.jobs set status = 'running', token = 1, attempt = 1, process = ${dead}, started_at = now(), requested = $2 where id = $1`,
      [id, asked],
    )
  }
  await app.start({ leaseDuration: 2_000 })
  for (const [index, asked] of requests.entries()) {
    const id = ids[index] ?? ''
    await untilStatus(database, id, drawn('running', asked, 'lost') ?? '')
    expect(await app.jobs.get(id)).toMatchObject({ attempt: 0, requested: null })
  }
})

test('whatever operators, workers and deploys do at random, every change of a status is drawn', async () => {
  await guardStatuses()
  const busy = defineJob('busy', {
    input: z.object({ n: z.number() }),
    retry: { attempts: 2, backoff: () => 5 },
    run: async ({ input: { n }, attempt }, ctx) => {
      await ctx.checkInterrupt()
      if (n % 4 === 0) await ctx.sleep('nap', 10)
      if (n % 4 === 1 && attempt === 1) throw new Error('again')
      if (n % 4 === 2) throw new Error('fails')
    },
  })
  await using app = appOn(database, [busy])
  let worker = await app.start({ jobs: { drainTimeout: 50 } })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(19), fc.constantFrom(...steering, 'spawn', 'deploy')), {
        maxLength: 40,
      }),
      async (moves) => {
        const ids: string[] = []
        for (let n = 0; n < 20; n++) ids.push((await app.jobs.spawn(busy, { n })).id)
        for (const [n, move] of moves) {
          if (move === 'spawn') ids.push((await app.jobs.spawn(busy, { n })).id)
          else if (move === 'deploy') {
            await worker.stop()
            worker = await app.start({ jobs: { drainTimeout: 50 } })
          } else {
            await app.jobs[move](ids[n] ?? '').catch((error: unknown) => {
              if (!isTidemarkError(error, 'TIDEMARK_JOB_STATUS')) throw error
            })
          }
        }
        for (const { id } of await app.jobs.list({ status: 'paused', limit: 1000 }))
          await app.jobs.resume(id)
        await until(
          database,
          `select count(*)::int from tidemark.jobs where status not in ('completed', 'failed', 'cancelled', 'paused')`,
          0,
        )
      },
    ),
    { numRuns: 15, endOnFailure: true },
  )
  const { rows } = await database.query('select distinct edge from undrawn')
  expect(rows).toEqual([])
}, 120_000)
