import type { MutantGroup } from '../mutant.ts'

const inline = 'packages/core/src/projection/folded/inline.ts'
const steering = 'test/projection/rebuild-steering.test.ts'

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
          find: '        `${name}@${version}`,\n',
          replace: '        name,\n',
        },
        {
          file: 'packages/core/src/listener/leased/assignment.ts',
          find: 'process.known.get(`${listener}@${version}`)',
          replace: 'process.known.get(listener)',
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
          find: 'if (!lease.live) await useShadow(',
          replace: 'if (lease.generation < 0) await useShadow(',
        },
      ],
      tests: {
        'test/projection/rebuild.test.ts': [
          'a raised version is rebuilt beside the live one: readers never see it empty, partial or mixed',
        ],
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
        ],
      },
    },
  ],
}
