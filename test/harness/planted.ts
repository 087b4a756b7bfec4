import type { Edit } from '../mutants/mutant.ts'

/** A bug that the harness has to find. */
export interface PlantedBug {
  readonly breaks: string
  readonly edits: readonly Edit[]
  /** The faults under which it shows. Defaults to all. */
  readonly only?: string
}

const cursors = 'packages/core/src/database/sql/listener/cursors.ts'
const outbox = 'migrations/0001-outbox.sql'
const tail = 'packages/core/src/outbox/read/tail.ts'
const jobTransaction = 'packages/core/src/job/settled/job-transaction.ts'

/** The bugs, each by the edits that plant it. */
export const plantedBugs: readonly PlantedBug[] = [
  {
    breaks: 'the fence does not look at the epoch',
    only: 'paused',
    edits: [
      {
        file: cursors,
        find: 'AND epoch = $4::bigint AND cursor = $5::bigint`',
        replace: 'AND $4::bigint >= 0 AND cursor = $5::bigint`',
      },
    ],
  },
  {
    breaks: 'the fence does not look at the cursor',
    only: 'answers to commits',
    edits: [
      {
        file: cursors,
        find: 'AND epoch = $4::bigint AND cursor = $5::bigint`',
        replace: 'AND epoch = $4::bigint AND $5::bigint >= 0`',
      },
    ],
  },
  {
    breaks: 'the horizon is looked at in one statement',
    only: 'looking for publishers',
    edits: [
      {
        file: outbox,
        find: `  last_sequence := pg_sequence_last_value(':"schema".events_sequence'::regclass);
  -- What newer`,
        replace: `  SELECT min(p.floor), pg_sequence_last_value(':"schema".events_sequence'::regclass)
    INTO lowest_floor, last_sequence FROM :"schema".publishers p;
  -- What newer`,
      },
      {
        file: outbox,
        find: `  SELECT min(p.floor) INTO lowest_floor FROM :"schema".publishers p;
  -- Whether`,
        replace: `  -- Whether`,
      },
    ],
  },
  {
    breaks: 'the cursor commits outside of the transaction of the effects',
    only: 'killed',
    edits: [
      {
        file: 'packages/core/src/listener/handled/transactional-handling.ts',
        find: 'await fence(transaction, outbox.schema',
        replace: 'await fence(database, outbox.schema',
      },
    ],
  },
  {
    breaks: 'a process arms its doorbell after it has looked',
    only: 'kept waiting',
    edits: [
      {
        file: tail,
        find: 'await this.#doorbell.arm()\n      } else if (horizon.publishing',
        replace:
          'await this.#doorbell.arm()\n        await this.#doorbell.wait(this.#safetyPoll, signal)\n      } else if (horizon.publishing',
      },
    ],
  },
  {
    breaks: 'the switch does not wait until the new generation has come as far',
    only: 'a projection is rebuilt',
    edits: [
      {
        file: 'packages/core/src/projection/rebuilt/switch.ts',
        find: `if (!(await arrives(database, schema, before, goal, deadline))) return 'late'`,
        replace: `await arrives(database, schema, before, 0n, deadline)`,
      },
    ],
  },
  {
    breaks: 'the installs of a database share one namespace of locks',
    only: 'other install stays open',
    edits: [
      {
        file: outbox,
        find: '    AND l.classid::bigint >> 16 = %1$s\n',
        replace: '    AND %1$s > 0\n',
      },
    ],
  },
  {
    breaks: 'the completion of a job is not fenced',
    only: 'arrives after its lease',
    edits: [
      {
        file: 'migrations/0009-job-changes.sql',
        find: `u (id, token)
      WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'`,
        replace: `u (id, token)
      WHERE j.id = u.id AND j.status = 'running'`,
      },
      {
        file: 'migrations/0009-job-changes.sql',
        find: `u (id, token, output, output_meta)
      WHERE j.id = u.id AND j.token = u.token AND`,
        replace: `u (id, token, output, output_meta)
      WHERE j.id = u.id AND`,
      },
    ],
  },
  {
    breaks: 'a step is written after its effect has committed, not with it',
    only: 'answers to commits',
    edits: [
      {
        file: jobTransaction,
        find: `        if (step !== undefined) {
          const ended = { id: step.id, kind: 'step', output: value, startedAt }
          await memory.end(ended, step.turn, transaction)
        }
`,
        replace: '',
      },
      {
        file: jobTransaction,
        find: '  if (used !== undefined) memory.committed(used)\n',
        replace: `  if (used !== undefined) memory.committed(used)
  if (step !== undefined)
    await memory.end({ id: step.id, kind: 'step', output: result, startedAt }, step.turn)
`,
      },
    ],
  },
  {
    breaks: 'a retry is not counted',
    only: 'killed',
    edits: [
      {
        file: 'packages/core/src/listener/handled/partition-runner.ts',
        find: '? this.lease.attempts + 1',
        replace: '? this.lease.attempts + 0',
      },
    ],
  },
  {
    breaks: 'two processes move a schedule on past the same tick',
    only: 'killed',
    edits: [
      {
        file: 'packages/core/src/database/sql/job/job-schedule.ts',
        find: `date_trunc('milliseconds', next_at) = $2::timestamptz AND status`,
        replace: `$2::timestamptz IS NOT NULL AND status`,
      },
    ],
  },
  {
    breaks: 'a RELEASE that fails is ignored',
    only: 'many jobs',
    edits: [
      {
        file: 'packages/core/src/database/transaction/savepoints.ts',
        find: `        } catch {
          throw new TidemarkError(
            'TIDEMARK_TRANSACTION_ABORTED',
            'a statement failed and its error was swallowed: what was written is rolled back',
            { cause: doubt },
          )
        }`,
        replace: `        } catch {
          await this.#transaction.query(\`ROLLBACK TO SAVEPOINT \${name}\`)
        }`,
      },
    ],
  },
  {
    breaks: 'an emitter has no listener for its errors',
    only: 'backends are terminated',
    edits: [
      {
        file: 'packages/core/src/database/pool.ts',
        find: `this.#pool.on('error', onIdleError)`,
        replace: `void onIdleError`,
      },
      {
        file: 'packages/core/src/database/pool.ts',
        find: `client.on('error', heard)`,
        replace: `void heard`,
      },
    ],
  },
  {
    breaks: 'a cursor is moved in memory only',
    only: 'killed',
    edits: [
      {
        file: cursors,
        find: 'const moved = `cursor = $6::bigint,',
        replace: 'const moved = `cursor = cursor + 0 * $6::bigint,',
      },
      {
        file: cursors,
        find: 'AND epoch = $4::bigint AND cursor = $5::bigint`',
        replace: 'AND epoch = $4::bigint AND $5::bigint >= 0`',
      },
    ],
  },
  {
    breaks: 'an old worker decides over a newer version',
    only: 'deploy',
    edits: [
      {
        file: 'packages/core/src/listener/leased/assignment.ts',
        find: '[`${one.name}@${one.version}`, one]',
        replace: '[one.name, one]',
      },
      {
        file: 'packages/core/src/listener/leased/assignment.ts',
        find: 'const place = `${partition.listener}@${partition.version}`',
        replace: 'const place = partition.listener',
      },
    ],
  },
]
