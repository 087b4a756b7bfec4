import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { Child } from './child.ts'
import { quantile } from './measure.ts'
import { whole, type Report } from './report.ts'
import type { ResumeRequest, ResumeResult } from './resume-process.ts'
import { resumedJob, stepPrefix } from './resumed-job.ts'
import type { Bench } from './server.ts'

interface Explained {
  readonly 'QUERY PLAN': readonly [{ readonly 'Execution Time': number }]
}

const looks = 40
const mostWaits = 10_000
const look = 'SELECT tidemark.wake_jobs((SELECT max(sequence) FROM tidemark.events))'
const forget = 'SELECT tidemark.forget_waits()'

// How many steps, with outputs of how many bytes.
const resumptions: readonly (readonly [number, number])[] = [
  [1_000, 100],
  [20_000, 100],
  [20_000, 5_000],
]

/** What is measured, beside a history that grows. */
const questions = {
  'a look for waiting jobs': look,
  'forgetting waits': forget,
  'counts()': 'SELECT * FROM tidemark.counted_jobs()',
  'a list of failed jobs':
    "SELECT id FROM tidemark.jobs j WHERE j.status = ANY ('{failed}') ORDER BY j.id DESC LIMIT 100",
  'a list of cancelled jobs':
    "SELECT id FROM tidemark.jobs j WHERE j.status = ANY ('{cancelled}') ORDER BY j.id DESC LIMIT 100",
  'a list of a rare type':
    "SELECT id FROM tidemark.jobs j WHERE (j.status <> 'running' OR j.process IS NULL) AND tidemark.job_place(j.name, j.status) = tidemark.job_place('rare', 'completed') AND j.name = 'rare' ORDER BY j.id DESC LIMIT 100",
} as const

/** What the looks of a runner and the questions of an operator cost beside events, waits and finished jobs. */
export async function jobHistory({ options, server, progress }: Bench): Promise<Report> {
  const jobs = options.events ?? 200_000
  await using database = await createTestDatabase({ server })
  const rows: string[][] = []
  const measure = async (beside: string): Promise<void> => {
    await database.query('VACUUM ANALYZE')
    for (const [what, sql] of Object.entries(questions)) {
      const times: number[] = []
      for (let n = 0; n < looks; n++) {
        // What an event of another type costs is part of a look.
        await addEvents(database, 1)
        await database.query(`UPDATE tidemark.job_wait_cursor SET forgets_at = '-infinity'`)
        const { rows: plans } = await database.query<Explained>(
          `EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`,
        )
        times.push(plans[0]?.['QUERY PLAN'][0]['Execution Time'] ?? Number.NaN)
      }
      rows.push([what, beside, ...[0.5, 0.99].map((q) => quantile(times, q).toFixed(2))])
      progress(rows.at(-1)?.join('  ') ?? '')
    }
  }
  await addWaits(database, 'event', 1)
  await measure('nothing')
  await addEvents(database, 100_000)
  await measure('100,000 events')
  await addWaits(database, 'event', mostWaits)
  await measure(`and ${whole(mostWaits)} waits for events`)
  await addWaits(database, 'job', mostWaits)
  await measure(`and ${whole(mostWaits)} waits for children`)
  await addWaits(database, 'signal', mostWaits)
  await measure(`and ${whole(mostWaits)} waits for signals`)
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status)
     SELECT gen_random_uuid(), 'done', '{}', 'completed' FROM generate_series(1, $1::integer)`,
    [jobs],
  )
  await measure(`and ${whole(jobs)} finished jobs`)
  const resumed: string[][] = []
  for (const [steps, bytes] of resumptions) {
    resumed.push(await resume(server, steps, bytes))
    progress(resumed.at(-1)?.join('  ') ?? '')
  }
  return {
    name: 'job-history',
    tables: [
      {
        title: 'job-history: milliseconds in the server beside a history that grows',
        columns: ['what', 'beside', 'p50', 'p99'],
        rows,
      },
      {
        title: 'job-history: a job goes on after its steps, in a process of its own',
        columns: ['steps', 'bytes each', 'ms', 'MB'],
        rows: resumed,
      },
    ],
    results: { rows, resumed },
  }
}

/** How long it takes, and by how much the process grows, until a job has passed the steps that it has stored. */
async function resume(server: Bench['server'], steps: number, bytes: number): Promise<string[]> {
  await using database = await createTestDatabase({ server })
  await database.query(
    `WITH job AS (
       INSERT INTO tidemark.jobs (id, name, input, token) VALUES (gen_random_uuid(), $1::text, '{}', 1) RETURNING id
     )
     INSERT INTO tidemark.job_steps (job, step, position, output, completed_at)
     SELECT j.id, $2::text || n, n, to_jsonb(left(repeat(md5(n::text), 1 + $4::integer / 32), $4::integer)), now()
     FROM job j, generate_series(1, $3::integer) AS n`,
    [resumedJob, stepPrefix, steps, bytes],
  )
  await database.query('VACUUM ANALYZE')
  const request: ResumeRequest = { url: database.url }
  await using child = new Child<ResumeResult>('resume-process.ts', request)
  const { ms, grownBytes } = await child.result
  return [whole(steps), whole(bytes), whole(ms), whole(grownBytes / 2 ** 20)]
}

async function addEvents(database: TestDatabase, count: number): Promise<void> {
  await database.query(
    `INSERT INTO tidemark.events (type, payload)
     SELECT 'bench.other', '{}' FROM generate_series(1, $1::integer)`,
    [count],
  )
}

/** Jobs that wait for an event or a signal that never comes, or for a child that never ends. */
async function addWaits(
  database: TestDatabase,
  kind: 'event' | 'job' | 'signal',
  count: number,
): Promise<void> {
  await database.query(
    `WITH child AS (
       INSERT INTO tidemark.jobs (id, name, input, status, run_at)
       VALUES (gen_random_uuid(), 'child', '{}', 'scheduled', 'infinity') RETURNING id
     ), parents AS (
       INSERT INTO tidemark.jobs (id, name, input, status, run_at, waiting)
       SELECT gen_random_uuid(), 'parent', '{}', 'scheduled', 'infinity', '{}'
       FROM generate_series(1, $2::integer) RETURNING id
     )
     INSERT INTO tidemark.job_waits (job, step, kind, target, key, sequence, child)
     SELECT p.id, 'wait', $1::text, CASE WHEN $1::text <> 'job' THEN 'bench.awaited' END, p.id::text,
       (SELECT coalesce(max(sequence), 0) FROM tidemark.events), CASE $1::text WHEN 'job' THEN c.id END
     FROM parents p CROSS JOIN child c`,
    [kind, count],
  )
}
