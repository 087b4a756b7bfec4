import type { MutantGroup } from '../mutant.ts'

const failure = 'test/listener/failure.test.ts'
const policies = 'test/listener/failure-policies.test.ts'
const killer = 'test/listener/process-killer.test.ts'

/** G8: nothing that a listener cannot read is dropped. */
export const unreadable: MutantGroup = {
  guarantee: 'G8 Nothing a listener cannot read is dropped',
  mutants: [
    {
      breaks: 'an event that cannot be read is passed by',
      edits: [
        {
          file: 'packages/core/src/listener/handled/partition-runner.ts',
          find: 'return { events, aside, unreadable: { event, error }, count }',
          replace: 'if (error !== count) continue',
        },
      ],
      tests: {
        [failure]: [
          'an event that cannot be decoded halts its listener, which has committed those before it; a definition that reads it goes on',
        ],
      },
    },
    {
      breaks: 'an event of a newer version counts as one that fails',
      edits: [
        {
          file: 'packages/core/src/errors/blame.ts',
          find: `['TIDEMARK_EVENT_TOO_NEW', 'reader'],`,
          replace: `['TIDEMARK_EVENT_TOO_NEW', 'work'],`,
        },
      ],
      tests: {
        [failure]: [
          'an event of a newer version than this process knows is waited for and is not skipped',
        ],
      },
    },
    {
      breaks: 'a listener that should halt parks the event',
      edits: [
        {
          file: 'packages/core/src/listener/handled/failure-care.ts',
          find: `if (policy === 'halt') {`,
          replace: `if (policy === undefined) {`,
        },
      ],
      tests: {
        [failure]: [
          'a handler that goes on throwing halts its listener with the error recorded; the events before it are committed, and resume goes on with it',
        ],
        [policies]: [
          'a policy that fails itself, or answers nonsense, halts the listener with the error of the event',
        ],
      },
    },
    {
      breaks: 'a state is not checked when it is read',
      edits: [
        {
          file: 'packages/core/src/projection/folded/state-codec.ts',
          find: '  if (schema === undefined) return (from',
          replace: '  if (state !== undefined) return (from',
        },
      ],
      tests: {
        'test/projection/state.test.ts': [
          'a stored state that its schema refuses halts the projection and is not touched',
        ],
      },
    },
    {
      breaks: 'what is parked is written down as skipped',
      edits: [
        {
          file: 'packages/core/src/listener/handled/failure-care.ts',
          find: `const state = policy === 'skip' ? 'skipped' : 'parked'`,
          replace: `const state = 'skipped'`,
        },
      ],
      tests: {
        [policies]: [
          'policy $policy: what cannot be handled is written down as $state with its error, its effects are not kept, and the listener goes on',
        ],
      },
    },
    {
      breaks: 'nobody looks for an event that ends its process',
      edits: [
        {
          file: 'packages/core/src/listener/handled/partition-runner.ts',
          find: 'this.#careful = suspicious ? consumer.batchSize : 0',
          replace: 'this.#careful = suspicious ? 0 : 0',
        },
      ],
      tests: {
        [killer]: [
          'an event that ends the process of a $kind ($how) three times is dealt with by policy: $policy',
        ],
      },
    },
    {
      breaks: 'nobody looks for a dead letter that ends its process',
      edits: [
        {
          file: 'packages/core/src/listener/handled/dead-letter-retries.ts',
          find: 'if (lease.crashes > 0) {',
          replace: 'if (lease.crashes < 0) {',
        },
      ],
      tests: {
        [killer]: [
          'a dead letter whose retry ends the process again and again is parked again; retried when it is mended, it is handled',
        ],
      },
    },
    {
      breaks: 'stored events of an old name are not known',
      edits: [
        {
          file: 'packages/core/src/event/registry.ts',
          find: 'const names = [definition.type, ...definition.aliases]',
          replace: 'const names = [definition.type]',
        },
      ],
      tests: {
        'test/event/renames.test.ts': [
          'stored events of an old name are read as the new one, by listeners and by every kind of projection',
        ],
      },
    },
    {
      breaks: 'what only looks like the trouble of the server is waited for',
      edits: [
        {
          file: 'packages/core/src/errors/blame.ts',
          find: "  if (isOwnToWork(error)) return 'work'\n",
          replace: '  void isOwnToWork\n',
        },
      ],
      tests: {
        'test/listener/whose-fault.test.ts': [
          'what a handler makes up is its own failure, whatever it looks like',
          'what comes of a session that the handler has altered is its own failure',
        ],
      },
    },
    {
      breaks: 'what the server said is not looked for in what the application made of it',
      edits: [
        {
          file: 'packages/core/src/errors/blame.ts',
          find: 'const failed = toldWithin(error) ?? error',
          replace: 'const failed = error',
        },
      ],
      tests: {
        'test/listener/whose-fault.test.ts': [
          'the server’s trouble is recognised in whatever an application makes of it',
        ],
      },
    },
    {
      breaks: 'old code takes a listener whose types it does not all know',
      edits: [
        {
          file: 'packages/core/src/listener/leased/assignment.ts',
          find: 'if (!(types ?? []).every((type) => handled.has(type))) return false',
          replace: 'if (handled.size < 0) return false',
        },
      ],
      tests: {
        'test/listener/rolling-deploy.test.ts': [
          'an event type that new code adds to a listener is not passed by while old code still runs',
        ],
      },
    },
    {
      breaks: 'a plan that is older than its table fails the job',
      edits: [
        {
          file: 'packages/core/src/job/running/transactional-batch.ts',
          find: 'if (others === 0 || !isPlanLost(error)) throw error',
          replace: 'if (others >= 0) throw error',
        },
      ],
      tests: {
        'test/job/transactional-effects.test.ts': [
          'a table that changes under prepared statements costs no job an attempt, and no connection stays behind',
        ],
      },
    },
    {
      breaks: 'a plan is trusted whose types are older than its table',
      edits: [
        {
          file: 'packages/core/src/database/sent/prepared-names.ts',
          find: "if (!isStale && !(isOurs && ofTypes.test(errorCodeOf(error) ?? ''))) return false",
          replace: 'if (!isStale || (isOurs && !ofTypes)) return false',
        },
      ],
      tests: {
        'test/listener/send.test.ts': [
          'a column that has become wider under a prepared statement takes what it holds now',
        ],
      },
    },
    {
      breaks: 'statements of a transaction that is not run again are prepared',
      edits: [
        {
          file: 'packages/core/src/database/transaction/guard.ts',
          find: 'return this.#prepares ? named(config) : config',
          replace: 'return named(config)',
        },
      ],
      tests: {
        'test/listener/send.test.ts': [
          'what a handler does to its session counts for the statements after it, whatever was planned',
          'a transaction of the caller’s does not fail for a table that has changed',
        ],
      },
    },
    {
      breaks: 'the plan of a day is kept for the next',
      edits: [
        {
          file: 'packages/core/src/database/sent/prepared-names.ts',
          find: 'momentary.test(text)',
          replace: "momentary.test('')",
        },
      ],
      tests: {
        'test/runtime/handler-statements.test.ts': [
          'what the server reads when it plans is read each time',
        ],
      },
    },
    {
      breaks: 'a prepared statement that a handler misses is taken for the plan of its statement',
      edits: [
        {
          file: 'packages/core/src/database/sent/prepared-names.ts',
          find: 'if (name === undefined) return false',
          replace: "if (name === undefined) return mistrust({ name: '', text }, error)",
        },
      ],
      tests: {
        'test/runtime/handler-statements.test.ts': [
          'a handler may miss a prepared statement of its own',
        ],
      },
    },
    {
      breaks: 'what is put around a client is given the query of the driver',
      edits: [
        {
          file: 'packages/core/src/database/sent/driver-query.ts',
          find: 'if (query === undefined || client.query !== ownQuery)',
          replace: 'if (query === undefined || !(client instanceof pg.Client))',
        },
      ],
      tests: {
        'test/runtime/driver-query.test.ts': ['%s around a client is given what it expects'],
      },
    },
    {
      breaks: 'the driver finds out what is wrong with a value',
      edits: [
        {
          file: 'packages/core/src/database/sent/driver-query.ts',
          find: 'config.values.map((value: unknown) => utils.prepareValue(value))',
          replace: 'config.values.map((value: unknown) => utils && value)',
        },
      ],
      tests: {
        'test/runtime/driver-query.test.ts': [
          'a value that cannot be sent leaves a prepared statement as it is',
        ],
      },
    },
  ],
}
