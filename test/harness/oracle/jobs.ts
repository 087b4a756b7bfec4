import type { Check } from './violation.ts'

/** What holds at any moment. */
export const jobsAlways: readonly Check[] = [
  {
    promise: 'a transactional effect of a job is made once',
    finds: `SELECT what, job, count(*) AS times FROM job_effects GROUP BY 1, 2 HAVING count(*) > 1`,
  },
  {
    promise: 'a completed job has made each of its effects, and no other job has made any',
    finds: `SELECT id, name, status, made.n AS effects FROM (
        SELECT j.id, j.name, j.status,
          CASE WHEN j.status <> 'completed' OR j.name = 'wander' THEN 0 WHEN j.name = 'story' THEN 2 ELSE 1 END AS due,
          (SELECT count(*) FROM job_effects f WHERE f.job = j.id::text) AS n
        FROM tidemark.jobs j) AS made
      WHERE n <> due AND NOT (name = 'story' AND status <> 'completed')`,
  },
  {
    promise: 'an event spawns its job once',
    finds: `SELECT what, op, count(*) AS times FROM job_effects WHERE what <> 'ticked' GROUP BY 1, 2 HAVING count(*) > 1`,
  },
  {
    promise: 'a tick of a schedule is fired once',
    finds: `SELECT op, count(*) AS times FROM job_effects WHERE what = 'ticked' GROUP BY 1 HAVING count(*) > 1`,
  },
  {
    promise: 'a schedule has all ticks of its policy',
    finds: `SELECT * FROM (
        SELECT schedule, tick, lag(tick) OVER (PARTITION BY schedule ORDER BY tick) AS before, outcome
        FROM tidemark.schedule_ticks) AS t
      WHERE tick - before <> interval '1 second' OR (schedule = 'all-ticks' AND outcome <> 'fired')
        OR outcome NOT IN ('fired', 'missed', 'overlapped')`,
  },
  {
    promise: 'the attempt that has a job completes it, and no other',
    finds: `SELECT id, token, output FROM tidemark.jobs
      WHERE name = 'wander' AND status = 'completed' AND (output ->> 'token')::bigint <> token`,
  },
  {
    promise: 'the jobs of a completed story have ended before it',
    finds: `SELECT p.id, c.id AS child, c.status FROM tidemark.jobs p JOIN tidemark.jobs c ON c.parent = p.id
      WHERE p.name = 'story' AND p.status = 'completed' AND c.status <> 'completed'`,
  },
]

/** What holds when no job is left to do, but those of schedules. */
export const jobsAtRest: readonly Check[] = [
  {
    promise: 'every job comes to one end',
    finds: `SELECT id, name, status, attempt, parked FROM tidemark.jobs WHERE name <> 'tick' AND status <> 'completed'`,
  },
  {
    promise: 'the jobs of the events are there',
    finds: `SELECT e.sequence, e.payload ->> 'job' AS job, e.payload ->> 'op' AS op FROM tidemark.events e
      WHERE e.type = 'ledger.moved' AND e.payload ->> 'job' IN ('settle', 'story') AND NOT EXISTS (
        SELECT FROM job_effects f WHERE f.op = e.payload ->> 'op'
          AND f.what = CASE e.payload ->> 'job' WHEN 'settle' THEN 'settled' ELSE 'ended' END)`,
  },
  {
    promise: 'a story has settled both of its sides',
    finds: `SELECT e.op, count(s.op) AS sides FROM job_effects e
      LEFT JOIN job_effects s ON s.what = 'settled' AND s.op IN (e.op || '/left', e.op || '/right')
      WHERE e.what = 'ended' GROUP BY 1 HAVING count(s.op) <> 2`,
  },
]
