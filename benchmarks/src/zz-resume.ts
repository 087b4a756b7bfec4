import { fork } from 'node:child_process'
import { createTestDatabase } from '@tidemark/testing'
import { resumedJob, stepPrefix } from './resumed-job.ts'
import { startServer } from './server.ts'
const server = await startServer({}, 0)
for (const [steps, bytes] of [
  [100, 100],
  [20_000, 100],
  [20_000, 5000],
  [20_000, 5000],
] as const) {
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
  const child = fork(new URL('resume-process.ts', import.meta.url).pathname, {
    execArgv: [
      '--conditions=@tidemark/source',
      ...(process.env['PROF'] && bytes === 5000
        ? ['--cpu-prof', '--cpu-prof-dir=/tmp/plan/jobs-prof']
        : []),
      ...(process.env['GC'] && bytes === 5000 ? ['--trace-gc'] : []),
    ],
  })
  const result = await new Promise<any>((r) => {
    child.on('message', r)
    child.send({ url: database.url })
  })
  console.log(
    steps,
    bytes,
    Math.round(result.ms),
    'ms',
    Math.round(result.grownBytes / 2 ** 20),
    'MB',
  )
  await new Promise((r) => child.on('exit', r))
}
await server.stop?.()
process.exit(0)
