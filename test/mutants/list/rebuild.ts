import type { MutantGroup } from '../mutant.ts'

const inline = 'packages/core/src/projection/folded/inline.ts'
const shadow = 'packages/core/src/projection/shadow/shadow-tables.ts'
const switching = 'packages/core/src/projection/rebuilt/switch.ts'
const steering = 'test/projection/rebuild-steering.test.ts'
const faults = 'test/projection/rebuild-faults.test.ts'
const switches = 'test/projection/switch.test.ts'
const copies = 'test/projection/tables/copies.test.ts'
const owned = 'test/projection/tables/owned-tables.test.ts'

/** G7: a rebuild is exact, and nobody sees it. */
export const rebuild: MutantGroup = {
  guarantee: 'G7 Rebuild is exact and invisible',
  mutants: [
    {
      breaks: 'a projection that is sent back keeps its state',
      edits: [
        {
          file: 'packages/core/src/database/sql/listener/definitions.ts',
          find: 'state = NULL, state_meta = NULL',
          replace: 'state = state, state_meta = state_meta',
        },
      ],
      tests: {
        'test/projection/replay.test.ts': [
          'for any events, in any transactions and batches: the projection is the pure fold, and so is its replay',
        ],
      },
    },
    {
      breaks: 'a projection that is sent back keeps the rows of its tables',
      edits: [
        {
          file: 'packages/core/src/projection/rebuilt/reset.ts',
          find: 'await emptyTables(executor, projection)',
          replace: 'void emptyTables',
        },
      ],
      tests: {
        'test/projection/table.test.ts': [
          'a table projection counts every event once, is reset to the same, and can be reset twice',
        ],
      },
    },
    {
      breaks: 'publishers fold a projection that workers still run',
      edits: [
        {
          file: inline,
          find: `return row['version'] !== version ||`,
          replace: 'return false &&',
        },
      ],
      tests: {
        'test/projection/change-mode.test.ts': [
          'through any changes of its mode, with old and new publishers side by side, a projection sees every event once and in order',
        ],
      },
    },
    {
      breaks: 'the replay of an inline projection lets publishers go on',
      edits: [
        {
          file: 'packages/core/src/database/sql/projection/inline.ts',
          find: 'FOR UPDATE OF c`',
          replace: '`',
        },
      ],
      tests: {
        'test/projection/inline.test.ts': [
          'an inline projection that is reset while publishers go on is replayed to the same',
        ],
      },
    },
    {
      breaks: 'a process runs what is of another version',
      edits: [
        {
          file: 'packages/core/src/listener/leased/assignment.ts',
          find: 'kind.map((one) => [`${one.name}@${one.version}`, one])',
          replace: 'kind.map((one) => [one.name, one])',
        },
        {
          file: 'packages/core/src/listener/leased/assignment.ts',
          find: 'const place = `${partition.listener}@${partition.version}`',
          replace: 'const place = partition.listener',
        },
      ],
      tests: {
        'test/listener/assignment.test.ts': [
          'a process of another version is given nothing of this one',
        ],
      },
    },
    {
      breaks: 'a projection of a raised version goes on where the old one was',
      edits: [
        {
          file: 'packages/core/src/runtime/runner/sync-definitions.ts',
          find: '    const raised = await raiseVersion(transaction, consumer, environment)',
          replace: `    const raised = await (async (): ReturnType<typeof raiseVersion> => 'nothing')()`,
        },
      ],
      tests: {
        'test/projection/state.test.ts': [
          'a raised version is derived again from zero; a process of the older version leaves it alone',
        ],
        [steering]: [
          'a rolling deploy: old and new code side by side under load; the old one runs the old generation until the switch, listeners miss nothing',
        ],
      },
    },
    {
      breaks: 'a generation under construction writes to the live tables',
      edits: [
        {
          file: 'packages/core/src/projection/folded/table-projection.ts',
          find: 'if (lease.live) return undefined',
          replace: 'if (lease.generation > 0) return undefined',
        },
      ],
      tests: {
        'test/projection/rebuild.test.ts': [
          'a raised version is rebuilt beside the live one: readers never see it empty, partial or mixed',
        ],
        [faults]: ['two processes rebuild at once, and twice: the same comes of it'],
      },
    },
    {
      breaks: 'the switch does not wait for all partitions of the new generation',
      edits: [
        {
          file: 'packages/core/src/projection/rebuilt/switch.ts',
          find: 'coalesce(bool_and(cursor >= $3), false)',
          replace: 'coalesce(bool_or(cursor >= $3), false)',
        },
      ],
      tests: {
        [steering]: [
          'while one partition of the new generation is not there yet, nothing is switched',
        ],
      },
    },
    {
      breaks: 'a rebuild that should halt parks the event',
      edits: [
        {
          file: 'packages/core/src/listener/handled/failure-care.ts',
          find: `if (policy === 'halt') {`,
          replace: `if (policy === undefined) {`,
        },
      ],
      tests: {
        [steering]: [
          'a rebuild that halts leaves the live generation alone and going; with the bug mended it is resumed and switched',
        ],
      },
    },
    {
      breaks: 'the cursor of a generation under construction commits before its rows',
      edits: [
        {
          file: 'packages/core/src/listener/handled/transactional-handling.ts',
          find: 'await fence(transaction, outbox.schema',
          replace: 'await fence(database, outbox.schema',
        },
      ],
      tests: {
        'test/projection/rebuild-fold.test.ts': [
          'for any events, batches, partitions and cut connections: what is rebuilt equals the pure fold, and so does what is rebuilt twice',
          'a runner that dies in the middle of a rebuild leaves the live projection as it was; the next one goes on, to the same',
        ],
      },
    },
    {
      breaks: 'a handler that reaches the live table in a rebuild is let do so',
      edits: [
        {
          file: 'packages/core/src/projection/shadow/live-writes.ts',
          find: 'if (rows.length === 0) return',
          replace: 'if (rows.length >= 0) return',
        },
      ],
      tests: {
        'test/projection/tables/live-writes.test.ts': [
          'a handler that reaches the live table in a rebuild changes nothing, and the rebuild says so',
        ],
      },
    },
    {
      breaks: 'a disk that is full is taken for the fault of the event',
      edits: [
        {
          file: 'packages/core/src/errors/blame.ts',
          find: "if (isServersTrouble(code, failed)) return 'server'",
          replace: "if (isServersTrouble(code, failed)) return 'work'",
        },
      ],
      tests: {
        [faults]: [
          'a full disk holds the rebuild up and leaves the live generation alone; with room again it goes on',
        ],
      },
    },
    {
      breaks: 'a rebuild that is cancelled leaves its copies',
      edits: [
        {
          file: 'packages/core/src/projection/rebuilt/rebuild.ts',
          find: 'await dropShadow(executor, shadowOf(',
          replace: 'void dropShadow; void (shadowOf(',
        },
      ],
      tests: {
        [steering]: ['a rebuild that is cancelled leaves nothing behind but the live generation'],
      },
    },
    {
      breaks: 'a copy takes the place of a table that others refer to',
      edits: [
        {
          file: shadow,
          find: 'if (differences.all.length === 0) {',
          replace: 'if (differences.shaping.length === 0) {',
        },
      ],
      tests: {
        'test/projection/rebuild.test.ts': [
          'views, foreign keys of other tables and publications survive a rebuild, and the table stays where it is',
        ],
      },
    },
    {
      breaks: 'the switch waits for as long as somebody reads',
      edits: [
        {
          file: switching,
          find: 'String(attempts.lockTimeout),',
          replace: `String(attempts.lockTimeout * 1_000),`,
        },
      ],
      tests: {
        [switches]: [
          'a long reader of the tables makes the switch try again, later each time, while the live projection goes on',
        ],
      },
    },
    {
      breaks: 'a copy has another column than its table',
      edits: [
        {
          file: 'packages/core/src/projection/shadow/swap-tables.ts',
          find: 'SET SCHEMA ${quote(table.schema)}`,\n    )\n  }\n  for',
          replace:
            'SET SCHEMA ${quote(table.schema)}`,\n    )\n    await executor.query(`ALTER TABLE ${qualified(table)} ADD COLUMN another integer`)\n  }\n  for',
        },
      ],
      tests: {
        [switches]: ["a reader's prepared statements go on across the switch"],
      },
    },
    {
      breaks: 'nobody looks at the switch whether a table has changed',
      edits: [
        {
          file: shadow,
          find: '  requireSameShape(projection, differences)\n  try {',
          replace: '  try {',
        },
        {
          file: shadow,
          find: 'if (differences.all.length === 0) {',
          replace: 'if (differences.all.length >= 0) {',
        },
      ],
      tests: {
        [switches]: [
          'a table that was changed during the rebuild is not replaced by a copy without the change',
        ],
      },
    },
    {
      breaks: 'the new generation never counts as near enough to switch',
      edits: [
        {
          file: switching,
          find: 'if (behind > attempts.mostBehind(rate)) return',
          replace: 'if (behind < 1_000_000_000n && attempts.mostBehind(rate) >= 0n) return',
        },
      ],
      tests: {
        [switches]: [
          'under constant traffic the switch happens, after a few attempts that held the projection for a bounded time',
        ],
      },
    },
    {
      breaks: 'a copy that differs from its table takes its place',
      edits: [
        {
          file: 'packages/core/src/projection/shadow/table-description.ts',
          find: 'if (one.get(name) !== other.get(name)) {',
          replace: 'if (one.get(name) !== other.get(name) && shaping.test(name)) {',
        },
      ],
      tests: {
        [copies]: [
          'with each property that a table can have: nothing of it differs after the switch',
          'for any properties together and any name: nothing differs after the switch',
        ],
        'test/projection/tables/dump.test.ts': [
          'pg_dump tells the same of every table before and after its rebuild',
        ],
      },
    },
    {
      breaks: 'what cannot be copied keeps a process from starting',
      edits: [
        {
          file: 'packages/core/src/projection/rebuilt/rebuild.ts',
          find: `if (!isTidemarkError(error, 'TIDEMARK_CANNOT_REBUILD')) throw error`,
          replace: `if (isTidemarkError(error)) throw error`,
        },
      ],
      tests: {
        [owned]: [
          'a projection that cannot be copied does not keep others from starting, says why, and goes on when it can',
        ],
      },
    },
    {
      breaks: 'rows that hang on those of a projection go with them',
      edits: [
        {
          file: 'packages/core/src/projection/shadow/exchange-contents.ts',
          find: 'if (cascades.length === 0) return',
          replace: 'if (cascades.length >= 0) return',
        },
        {
          file: 'packages/core/src/projection/stored/empty-tables.ts',
          find: 'await refuseCascades(executor, name, oids)',
          replace: 'void [refuseCascades, name]',
        },
      ],
      tests: {
        [owned]: ["rows of the application that hang on a projection's are not deleted with them"],
      },
    },
    {
      breaks: 'a rebuild cannot be paused',
      edits: [
        {
          file: 'packages/core/src/projection/rebuilt/rebuild-admin.ts',
          find: 'SET rebuild_paused = $2, updated_at',
          replace: 'SET rebuild_paused = $2 AND false, updated_at',
        },
      ],
      tests: {
        'test/projection/rebuild.test.ts': [
          'a rebuild is paused, resumed and cancelled; twice gives the same',
        ],
      },
    },
    {
      breaks: 'a table takes the place of one that a publication of its schema sends',
      edits: [
        {
          file: 'packages/core/src/database/sql/projection/table-description.ts',
          find: 'v.schemaname = n.nspname AND v.tablename = c.relname',
          replace: 'v.schemaname IS NULL',
        },
      ],
      tests: {
        'test/ordering/logical-replication.test.ts': [
          'subscribers of a projection’s table get what its rebuild changes, however the table is published',
        ],
      },
    },
    {
      breaks: 'triggers of partitions are not looked at',
      edits: [
        {
          file: 'packages/core/src/database/sql/projection/table-description.ts',
          find: 'tree.level > 0 AND (NOT t.tgisinternal',
          replace: 'tree.level > 99 AND (NOT t.tgisinternal',
        },
      ],
      tests: {
        'test/projection/tables/owned-tables.test.ts': [
          'a trigger of a partition alone, or one that is off there, would be missing from a copy: the rebuild says so',
        ],
      },
    },
    {
      breaks: 'the copy of an unlogged table is unlogged',
      edits: [
        {
          file: 'packages/core/src/database/sql/projection/table-copy.ts',
          find: "format('CREATE TABLE %I.%I (LIKE",
          replace: "format('CREATE UNLOGGED TABLE %I.%I (LIKE",
        },
      ],
      tests: {
        'test/projection/unlogged.test.ts': [
          'a crash of the server in a rebuild of an unlogged table loses nothing of it; what it empties is found',
        ],
      },
    },
    {
      breaks: 'what is decided about dead letters reaches the live generation only',
      edits: [
        {
          file: 'packages/core/src/listener/steered/dead-letter-admin.ts',
          find: 'unnest(ARRAY[l.generation, l.rebuild_generation])',
          replace: 'unnest(ARRAY[l.generation])',
        },
      ],
      tests: {
        'test/projection/rebuild-steering.test.ts': [
          'a rebuild says what it has set aside, and what is decided about dead letters reaches it, too',
        ],
      },
    },
  ],
}
