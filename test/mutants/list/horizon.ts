import type { MutantGroup } from '../mutant.ts'

const outbox = 'migrations/0001-outbox.sql'
const lateCommit = 'test/ordering/late-commit.test.ts'
const crash = 'test/ordering/server-crash.test.ts'
const skips = 'test/outbox/skip-detector.test.ts'
const retention = 'test/outbox/retention.test.ts'
const strangers = 'test/ordering/strangers.test.ts'

/** G2: a listener sees every committed event. */
export const horizon: MutantGroup = {
  guarantee: 'G2 No event skipped',
  mutants: [
    {
      breaks: 'publishers do not register themselves',
      edits: [
        {
          file: outbox,
          find: 'WHEN pg_advisory_xact_lock_shared((',
          replace: 'WHEN abs((',
        },
      ],
      tests: {
        [lateCommit]: [
          'a publisher that commits late is not skipped',
          'eight publishers with slow commits and rollbacks: every committed event once and in order, by listener and by projection',
        ],
        'test/ordering/savepoints.test.ts': [
          'an event published after a savepoint that published was rolled back is not skipped',
        ],
        'test/ordering/publishers.test.ts': [
          'events of ${how} are not skipped when they commit late',
        ],
        [strangers]: [
          'a prepared transaction that published is waited for, also when its connection is gone',
        ],
        'test/listener/reading.test.ts': [
          'a listener that starts now does not skip a publisher that was open when it started',
        ],
      },
    },
    {
      breaks: 'the publishers are looked at before the last number that was drawn',
      edits: [
        {
          file: outbox,
          find: `  last_sequence := pg_sequence_last_value(':"schema".events_sequence'::regclass);
  -- What newer`,
          replace: `  SELECT min(p.floor) INTO lowest_floor FROM :"schema".publishers p;
  last_sequence := pg_sequence_last_value(':"schema".events_sequence'::regclass);
  -- What newer`,
        },
        {
          file: outbox,
          find: `  SELECT min(p.floor) INTO lowest_floor FROM :"schema".publishers p;
  -- Whether`,
          replace: `  last_sequence := pg_sequence_last_value(':"schema".events_sequence'::regclass);
  -- Whether`,
        },
      ],
      tests: {
        [lateCommit]: [
          'a publisher that draws while the horizon is being looked at is not skipped',
        ],
      },
    },
    {
      breaks: 'the position of a reader is the horizon instead of the last event that it read',
      edits: [
        {
          file: 'packages/core/src/outbox/read/tail.ts',
          find: 'if (events.length > 0) this.#advance(events)',
          replace: `if (events.length > 0) this.#advance(events)
    else {
      this.#position = horizon.sequence
      this.#advanced.resolve()
      this.#advanced = Promise.withResolvers<void>()
    }`,
        },
      ],
      tests: { [crash]: ['numbers that a crashed server draws a second time are not skipped'] },
    },
    {
      breaks: 'a listener is started although its cursor is beyond the outbox',
      edits: [
        {
          file: 'packages/core/src/runtime/runner/partitions.ts',
          find: 'if (ahead === undefined || lease.cursor <= ahead.lastSequence) this.#start(lease)',
          replace: 'if (lease.cursor >= 0n) this.#start(lease)',
        },
      ],
      tests: {
        [crash]: [
          'a cursor beyond the last sequence halts its listener with TIDEMARK_CURSOR_AHEAD',
        ],
      },
    },
    {
      breaks: 'readers read what is older than every running transaction',
      edits: [
        {
          file: 'packages/core/src/database/sql/outbox/read-page.ts',
          find: 'AND sequence <= (SELECT ${upTo}::bigint)`',
          replace:
            'AND sequence <= (SELECT ${upTo}::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())`',
        },
      ],
      tests: {
        'test/ordering/dump-restore.test.ts': [
          'an outbox that is dumped and restored into a younger cluster hides nothing and loses no place',
        ],
      },
    },
    {
      breaks: 'a full slice ends where the tail ends',
      edits: [
        {
          file: 'packages/core/src/outbox/read/tail.ts',
          find: 'return { events, through: (events.at(-1) as StoredEvent).sequence, more: true }',
          replace: 'return { events, through: this.#position, more: true }',
        },
      ],
      tests: {
        'test/ordering/volume.test.ts': [
          'one transaction of 100,000 events reaches every listener in order',
        ],
      },
    },
    {
      breaks: 'the skip detector finds nothing',
      edits: [
        {
          file: 'packages/core/src/database/sql/outbox/skip-detector.ts',
          find: 'AND NOT pg_visible_in_snapshot(e.xid, o.snapshot)',
          replace: 'AND false',
        },
      ],
      tests: {
        [skips]: [
          'an event whose publisher is not registered and commits late is found, logged and kept',
        ],
      },
    },
    {
      breaks: 'the skip detector takes what is in flight for settled',
      edits: [
        {
          file: 'packages/core/src/database/sql/outbox/skip-detector.ts',
          find: '$1::bigint AS horizon)',
          replace: `greatest($1::bigint, pg_sequence_last_value('\${schema}.events_sequence'::regclass)) AS horizon)`,
        },
      ],
      tests: {
        [skips]: [
          'rollbacks, savepoints, late commits and prepared transactions raise no false alarm',
        ],
      },
    },
    {
      breaks: 'partitions that reach beyond the horizon can go',
      edits: [
        {
          file: 'packages/core/src/outbox/kept/prune-plan.ts',
          find: `if (to > horizon) return`,
          replace: `if (to < 0n) return`,
        },
      ],
      tests: {
        [retention]: [
          'whole partitions that every listener has passed are dropped, and the newest stays',
        ],
      },
    },
    {
      breaks: 'what somebody else has pruned meanwhile is pruned again',
      edits: [
        {
          file: 'packages/core/src/outbox/kept/prune.ts',
          find: 'if (!present || reader === undefined',
          replace: 'if (reader === undefined',
        },
      ],
      tests: {
        [retention]: [
          'pruning and making partitions in many processes at once, under publishers, loses nothing',
        ],
      },
    },
    {
      breaks: 'pages and kept events are not bounded by bytes',
      edits: [
        {
          file: 'packages/core/src/database/sql/outbox/read-page.ts',
          find: 'WHERE bytes - size < (SELECT ${bytes}::bigint)',
          replace: 'WHERE bytes - size < (SELECT ${bytes}::bigint) * 1000',
        },
        {
          file: 'packages/core/src/outbox/read/tail.ts',
          find: 'this.#kept.trim(mostKept, this.#mostBytes)',
          replace: 'this.#kept.trim(mostKept, Number.MAX_SAFE_INTEGER)',
        },
      ],
      tests: {
        'test/outbox/memory.test.ts': [
          '200 events of 1 MB ${kind} pass three listeners in a heap of 256 MB',
        ],
      },
    },
    {
      breaks: 'a listener is sent back to before what was pruned',
      edits: [
        {
          file: 'packages/core/src/outbox/kept/pruned.ts',
          find: 'SELECT max(upper_bound) AS bound',
          replace: 'SELECT NULL::bigint AS bound',
        },
      ],
      tests: {
        'test/outbox/retention.test.ts': [
          'a listener is not sent back to before pruned events that it handles, unless told',
        ],
      },
    },
  ],
}

/** G5: nothing unrelated holds a reader back. */
export const stall: MutantGroup = {
  guarantee: 'G5 No unexplained stall',
  mutants: [
    {
      breaks: 'readers wait for every running transaction',
      edits: [
        {
          file: 'packages/core/src/database/sql/outbox/read-page.ts',
          find: 'AND sequence <= (SELECT ${upTo}::bigint)`',
          replace:
            'AND sequence <= (SELECT ${upTo}::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())`',
        },
      ],
      tests: {
        [strangers]: [
          'a long writer that does not publish holds nothing back',
          'a long writer in another database of the cluster holds nothing back',
          'a prepared transaction that did not publish holds nothing back',
        ],
      },
    },
    {
      breaks: 'publishers stay registered for as long as their session',
      edits: [
        {
          file: outbox,
          find: 'WHEN pg_advisory_xact_lock_shared((',
          replace: 'WHEN pg_advisory_lock_shared((',
        },
      ],
      tests: {
        'test/ordering/savepoints.test.ts': [
          'a publisher whose only event was rolled back with its savepoint holds nothing back',
        ],
        'test/ordering/volume.test.ts': [
          'a thousand rolled-back sequences cost no writes and delay nobody',
        ],
      },
    },
    {
      breaks: 'the publishers of every install are looked at',
      edits: [
        {
          file: outbox,
          find: '    AND l.classid::bigint >> 16 = %1$s\n',
          replace: '    AND %1$s > 0\n',
        },
      ],
      tests: {
        'test/ordering/installs.test.ts': [
          'two installs in one database do not hold each other back, ring each other or see each other',
        ],
      },
    },
    {
      breaks: 'publishers do not ring',
      edits: [
        { file: outbox, find: `PERFORM pg_notify(:'channel', what);`, replace: 'PERFORM 1;' },
      ],
      tests: {
        [strangers]: [
          'a publisher that rings cannot prepare: it is told so by Postgres, and nothing is published',
        ],
      },
    },
    {
      breaks: 'one batch at a time in a process',
      edits: [
        {
          file: 'packages/core/src/runtime/runner/partitions.ts',
          find: 'new Semaphore(Math.max(1, connections - reservedConnections))',
          replace: 'new Semaphore(1)',
        },
      ],
      tests: {
        'test/listener/failure.test.ts': [
          'a handler that waits does not delay the other listeners',
        ],
      },
    },
  ],
}
