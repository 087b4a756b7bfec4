import type { MutantGroup } from '../mutant.ts'

const claim = 'packages/core/src/database/sql/job/job-claim.ts'
const crash = 'test/job/crash.test.ts'

/** Jobs: what is promised of them stands in the second part of docs/guarantees.md. */
export const jobs: MutantGroup = {
  guarantee: 'Jobs',
  mutants: [
    {
      breaks: 'the jobs of dead processes are left alone',
      edits: [
        {
          file: claim,
          find: `WHERE j.status = 'running' AND j.process IS NOT NULL AND NOT EXISTS (`,
          replace: `WHERE false AND j.process IS NOT NULL AND NOT EXISTS (`,
        },
      ],
      tests: {
        [crash]: [
          'a job whose process is killed with -9 ${where} is run by another within 15 s',
          '200 jobs, five workers killed one after the other: every job completes, every effect happens once',
        ],
      },
    },
    {
      breaks: 'an attempt settles its job whatever its token is',
      edits: [
        {
          file: 'packages/core/src/database/sql/job/job-settle.ts',
          find: `WHERE j.id = $1::uuid AND j.token = $2::bigint AND j.status = 'running'
  RETURNING`,
          replace: `WHERE j.id = $1::uuid AND $2::bigint > 0 AND j.status = 'running'
  RETURNING`,
        },
      ],
      tests: {
        'test/job/fence.test.ts': [
          'to ${what} takes the present token: a zombie changes nothing, before and after another claim',
        ],
      },
    },
    {
      breaks: 'a key lets all of its jobs in',
      edits: [
        {
          file: 'migrations/0005-job-turns.sql',
          find: 'EXIT WHEN NOT FOUND OR turns >= candidate.concurrency_limit;',
          replace: 'EXIT WHEN NOT FOUND;',
        },
      ],
      tests: {
        'test/job/keys.test.ts': [
          'jobs with one concurrency key never run side by side, also when they are claimed in batches by two processes',
        ],
      },
    },
    {
      breaks:
        'a parent that is held until its children have ended is cancelled and scheduled again for everybody',
      edits: [
        {
          file: 'migrations/0009-job-changes.sql',
          find: "NEW.requested = 'cancel' THEN RETURN NULL; END IF;",
          replace: "NEW.requested = 'cancel' THEN NULL; END IF;",
        },
      ],
      tests: {
        'test/job/cancelled-parents.test.ts': [
          'while a parent is held it has not been cancelled for anybody, whatever it was doing',
        ],
      },
    },
    {
      breaks: 'nothing is caught up after an outage',
      edits: [
        {
          file: 'packages/core/src/job/spawned/ticks.ts',
          find: `schedule.catchUp === 'all' || (schedule.catchUp === 'last'`,
          replace: `(schedule.catchUp === 'last'`,
        },
      ],
      tests: {
        'test/job/schedules.test.ts': [
          'an outage is caught up by the policy when a process comes back',
        ],
      },
    },
    {
      breaks: 'jobs that wait for a key are looked at again by each claim',
      edits: [
        {
          file: 'migrations/0005-job-turns.sql',
          find: "SET parked = 'key' WHERE j.id = ANY (fresh);",
          replace: "SET parked = 'key' WHERE j.id = ANY (fresh) AND false;",
        },
      ],
      tests: {
        'test/job/keys.test.ts': [
          'claiming costs the same in front of 20,000 jobs that wait for one key',
        ],
      },
    },
  ],
}
