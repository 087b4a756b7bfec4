import type { MutantGroup } from '../mutant.ts'

const cursors = 'packages/core/src/database/sql/listener/cursors.ts'
const handling = 'packages/core/src/listener/handled/transactional-handling.ts'
const twoProcesses = 'test/listener/two-processes.test.ts'
const fence = 'test/listener/fence.test.ts'

/** G4: every event takes effect once. */
export const once: MutantGroup = {
  guarantee: 'G4 Effectively once',
  mutants: [
    {
      breaks: 'the fence looks at neither epoch nor cursor',
      edits: [
        {
          file: cursors,
          find: 'AND epoch = $4::bigint AND cursor = $5::bigint`',
          replace: 'AND $4::bigint >= 0 AND $5::bigint >= 0`',
        },
      ],
      tests: {
        [fence]: [
          '${fenced} with ${how} moves ${moves} rows',
          'an owner whose partitions another process took over applies nothing more',
          'a batch that was committed without the owner knowing it is not applied again',
        ],
        [twoProcesses]: [
          'an owner that is frozen before its fence, and wakes up when another has gone on without it, applies nothing twice',
        ],
        'test/testing/faults.test.ts': [
          'a usurped owner commits nothing more, and the listener goes on when its lease is free',
        ],
        'test/projection/keyed-table.test.ts': [
          'a zombie that lost its lease writes neither states nor rows',
        ],
      },
    },
    {
      breaks: 'neither the fence nor the heartbeat tells an owner that another has followed',
      edits: [
        {
          file: cursors,
          find: 'AND epoch = $4::bigint AND cursor = $5::bigint`',
          replace: 'AND $4::bigint >= 0 AND $5::bigint >= 0`',
        },
        {
          file: 'packages/core/src/runtime/runner/partitions.ts',
          find: 'if (!held.has(id)) this.#giveUp(running)',
          replace: 'if (!held.has(id)) void running',
        },
      ],
      tests: {
        [twoProcesses]: [
          'an owner that is frozen between batches past its lease and wakes up applies nothing twice',
        ],
      },
    },
    {
      breaks: 'the fence does not look at the epoch',
      edits: [
        {
          file: cursors,
          find: 'AND epoch = $4::bigint AND cursor = $5::bigint`',
          replace: 'AND $4::bigint >= 0 AND cursor = $5::bigint`',
        },
      ],
      tests: { [fence]: ['${fenced} with ${how} moves ${moves} rows'] },
    },
    {
      breaks: 'the fence does not look at the cursor',
      edits: [
        {
          file: cursors,
          find: 'AND epoch = $4::bigint AND cursor = $5::bigint`',
          replace: 'AND epoch = $4::bigint AND $5::bigint >= 0`',
        },
      ],
      tests: { [fence]: ['${fenced} with ${how} moves ${moves} rows'] },
    },
    {
      breaks: 'the cursor commits before the effects',
      edits: [
        {
          file: handling,
          find: 'await fence(transaction, outbox.schema',
          replace: 'await fence(database, outbox.schema',
        },
      ],
      tests: {
        [twoProcesses]: [
          'an owner that is killed with -9 in the middle of a transaction is replaced within its lease, nothing lost, nothing twice',
        ],
        'test/faults/half-open.test.ts': [
          'an owner whose connections are all half-open, in the middle of a transaction, is replaced',
        ],
        'test/faults/chaos.test.ts': [
          'workers killed with -9 one after another, under publishers that roll back: every event once and in order',
        ],
      },
    },
    {
      breaks: 'handlers write beside their transaction',
      edits: [
        {
          file: handling,
          find: '          const missed = await mine\n',
          replace:
            '          Object.assign(context, { tx: database })\n          const missed = await mine\n',
        },
      ],
      tests: {
        'test/testing/faults.test.ts': [
          'a crash between effect and commit: nothing of that attempt is kept, and every event takes effect once',
        ],
        'test/listener/connections.test.ts': [
          'with every connection killed again and again, every event takes effect once and in order',
        ],
        [twoProcesses]: [
          'an owner that is killed with -9 in the middle of a transaction is replaced within its lease, nothing lost, nothing twice',
        ],
      },
    },
    {
      breaks: 'the server lets a frozen session keep its locks',
      edits: [{ file: handling, find: '{ idleTimeout: leaseDuration,', replace: '{' }],
      tests: {
        [twoProcesses]: [
          'a zombie that wakes up in the middle of a transaction, after another has taken over, writes nothing',
        ],
        'test/faults/half-open.test.ts': [
          'an owner whose connections are all half-open, in the middle of a transaction, is replaced',
        ],
      },
    },
    {
      breaks: 'a lease does not end',
      edits: [
        {
          file: cursors,
          find: 'AND (c.owner IS NULL OR c.lease_until < clock_timestamp())',
          replace: 'AND c.owner IS NULL',
        },
      ],
      tests: {
        'test/faults/ten-listeners.test.ts': [
          'two workers, ten listeners, one worker killed with -9: all ten move again within 15 s, nothing lost, nothing twice',
        ],
        [twoProcesses]: [
          'an owner that is killed with -9 in the middle of a transaction is replaced within its lease, nothing lost, nothing twice',
        ],
      },
    },
    {
      breaks: 'a process that ends keeps its leases',
      edits: [
        {
          file: 'packages/core/src/runtime/runner/partitions.ts',
          find: `if (stopped === 'stopped' || stopped === 'resized')`,
          replace: `if (stopped === 'resized')`,
        },
      ],
      tests: {
        [twoProcesses]: [
          'a process that is told to end finishes its batch, gives its leases back and ends',
        ],
      },
    },
    {
      breaks: 'a process that ends gives up the batch under way',
      edits: [
        {
          file: 'packages/core/src/runtime/runner/partitions.ts',
          find: 'await wait(this.#environment.drainTimeout, drained.signal)',
          replace: 'await wait(0, drained.signal)',
        },
      ],
      tests: {
        'test/listener/draining.test.ts': [
          'a drain that takes longer than the lease loses nothing and does nothing twice',
        ],
      },
    },
    {
      breaks: 'a loop that failed is not started again',
      edits: [
        {
          file: 'packages/core/src/runtime/runner/supervise.ts',
          find: 'await wait(backoff * (0.5 + Math.random()), signal)',
          replace: 'await wait(3_600_000, signal)',
        },
      ],
      tests: {
        'test/listener/connections.test.ts': [
          'a server that is restarted, and one that crashes, are found again without anybody’s help',
        ],
      },
    },
    {
      breaks: 'a handler past its timeout keeps its connection',
      edits: [
        {
          file: handling,
          find: 'this.#transaction.destroy(how)',
          replace: 'void how',
        },
      ],
      tests: {
        'test/listener/failure.test.ts': [
          'a handler past its timeout loses its connection: its late write fails, and nothing of it is kept',
        ],
      },
    },
    {
      breaks: 'a state in memory is kept when the batch fails',
      edits: [
        {
          file: 'packages/core/src/projection/folded/state-handling.ts',
          find: `    this.#state = undefined
    const after`,
          replace: '    const after',
        },
      ],
      tests: {
        'test/projection/state.test.ts': [
          'a reducer that changes its state in place and then throws corrupts nothing',
        ],
      },
    },
    {
      breaks: 'the number of partitions changes before all have come to one place',
      edits: [
        {
          file: 'packages/core/src/listener/steered/resize.ts',
          find: `c.generation = l.generation AND c.cursor <> l.resize_at)\``,
          replace: `c.generation = l.generation AND false)\``,
        },
        {
          file: 'packages/core/src/listener/steered/resize.ts',
          find: `if (cursors.rows.some((cursor) => cursor['cursor'] !== row['resize_at'])) return`,
          replace: '',
        },
      ],
      tests: {
        'test/listener/partitions.test.ts': [
          'the number of partitions goes up and down under load: nothing is lost, nothing twice, every key in order',
        ],
      },
    },
    {
      breaks: 'a deadlock counts as a failure of the event',
      edits: [
        {
          file: 'packages/core/src/errors/blame.ts',
          find: `const conflicts = new Set(['40001', '40P01'])`,
          replace: `const conflicts = new Set(['40001'])`,
        },
      ],
      tests: {
        'test/listener/failure-policies.test.ts': [
          'two modules whose handlers lock the same rows in different orders deadlock, and both recover',
        ],
      },
    },
    {
      breaks: 'keyed states that a reducer removes stay',
      edits: [
        {
          file: 'packages/core/src/projection/folded/keyed-handling.ts',
          find: 'removed.length > 0 && run(executor, deleteKeys',
          replace: 'removed.length < 0 && run(executor, deleteKeys',
        },
      ],
      tests: {
        'test/projection/keyed-fold.test.ts': [
          'for any events, batch sizes, partitions, cache sizes, removals and failures: the keyed projection is the pure fold',
        ],
      },
    },
    {
      breaks: 'rows of keyed states that a reducer removes stay',
      edits: [
        {
          file: 'packages/core/src/projection/folded/keyed-handling.ts',
          find: 'table !== undefined && removed.length > 0 && table.remove',
          replace: 'table !== undefined && removed.length < 0 && table.remove',
        },
      ],
      tests: {
        'test/projection/keyed-table.test.ts': [
          'for any events, batches, partitions, removals and failures, and after a rebuild: the table is the pure fold',
        ],
      },
    },
    {
      breaks: 'a commit is confirmed before it is written',
      edits: [
        {
          file: 'packages/core/src/database/transaction/session-traces.ts',
          find: "extra_float_digits: '1',",
          replace: "extra_float_digits: '1',\n  synchronous_commit: 'off',",
        },
      ],
      tests: {
        'test/faults/failover.test.ts': [
          'a synchronous standby that is promoted under load: what was confirmed is there, handled once and in order',
        ],
      },
    },
    {
      breaks: 'nobody notes what SQL publishes past inline projections',
      edits: [
        {
          file: 'migrations/0002-publishing.sql',
          find: 'PERFORM :"schema".note_unseen(type, answer.sequence);',
          replace: '',
        },
      ],
      tests: {
        'test/projection/inline.test.ts': [
          'what SQL publishes past an inline projection is found, until that is derived again',
        ],
      },
    },
  ],
}
