import type { MutantGroup } from '../mutant.ts'

const publishing = 'migrations/0002-publishing.sql'
const streams = 'test/outbox/streams.test.ts'

/** G3: streams, keys and everything else in order. */
export const order: MutantGroup = {
  guarantee: 'G3 Order',
  mutants: [
    {
      breaks: 'appenders do not hold the streams that they append to',
      edits: [
        {
          file: publishing,
          find: 'WHERE t.stream = ANY (streams) ORDER BY t.stream FOR UPDATE;',
          replace: 'WHERE t.stream = ANY (streams) ORDER BY t.stream;',
        },
      ],
      tests: {
        [streams]: [
          'in every stream the order of versions is the order of sequences, under sixteen concurrent appenders',
        ],
      },
    },
    {
      breaks: 'nobody looks at the expected version',
      edits: [
        {
          file: publishing,
          find: 'WHERE i.expected <> t.version + i.nth - 1 AND',
          replace: 'WHERE false AND',
        },
      ],
      tests: {
        [streams]: [
          'of many publishers that expect the same version one wins, and the others are told the present one',
        ],
      },
    },
    {
      breaks: 'appenders take the streams in the order of their events',
      edits: [
        {
          file: publishing,
          find: 'WHERE t.stream = ANY (streams) ORDER BY t.stream FOR UPDATE;',
          replace:
            'WHERE t.stream = ANY (streams) ORDER BY array_position(streams, t.stream) FOR UPDATE;',
        },
      ],
      tests: {
        [streams]: ['appenders that take the same streams in different orders do not deadlock'],
      },
    },
    {
      breaks: 'publishers do not hold the rows of inline projections',
      edits: [
        {
          file: 'packages/core/src/database/sql/projection/inline.ts',
          find: 'FOR UPDATE OF c`',
          replace: '`',
        },
      ],
      tests: {
        'test/projection/inline.test.ts': [
          'inline projections see the events of concurrent publishers in the order of their sequences',
        ],
      },
    },
    {
      breaks: 'the partition of a key is another one each time',
      edits: [
        {
          file: 'packages/core/src/listener/read/partition-key.ts',
          find: 'return hash(key) % partitions',
          replace: 'return hash(key + Date.now()) % partitions',
        },
      ],
      tests: {
        'test/listener/partitions.test.ts': [
          'events with the same key keep their order; partitions share the keys out',
        ],
      },
    },
    {
      breaks: 'the events of a parked key go on',
      edits: [
        {
          file: 'packages/core/src/listener/handled/partition-runner.ts',
          find: 'if (key !== null && this.#deadLetters.heldKeys.has(key)) {',
          replace: `if (key === 'never') {`,
        },
      ],
      tests: {
        'test/listener/dead-letters.test.ts': [
          'a parked key waits and keeps its order while other keys go on, with %i partitions; new events of the key wait too, across restarts',
        ],
      },
    },
  ],
}
