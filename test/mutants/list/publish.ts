import type { MutantGroup } from '../mutant.ts'

const transaction = 'test/outbox/transaction.test.ts'
const foreign = 'test/outbox/foreign-transactions.test.ts'
const coalescing = 'test/outbox/coalescing.test.ts'
const coalescingStreams = 'test/outbox/coalescing-streams.test.ts'
const statements = 'migrations/0002-publishing.sql'

/** G1: events are visible if and only if the publisher's transaction commits. */
export const publish: MutantGroup = {
  guarantee: 'G1 Atomic publish',
  mutants: [
    {
      breaks: 'the events of a transaction are published beside it',
      edits: [
        {
          file: 'packages/core/src/outbox/published/publishing-transaction.ts',
          find: 'if (inserted === undefined) return outbox.insert(transaction, buffer)',
          replace: 'if (inserted === undefined) return outbox.insert(database, buffer)',
        },
      ],
      tests: { [transaction]: ['a transaction whose COMMIT fails keeps no events'] },
    },
    {
      breaks: 'a transaction that only has events to publish does not publish them',
      edits: [
        {
          file: 'packages/core/src/outbox/published/publishing-transaction.ts',
          find: 'if (inserted === undefined) return outbox.insert(transaction, buffer)',
          replace: 'if (inserted === undefined) return outbox.insert(transaction, [])',
        },
      ],
      tests: {
        [transaction]: [
          'a transaction commits its rows and its events together, and answers the sequence to wait for',
        ],
      },
    },
    {
      breaks: 'a transaction that throws is committed',
      edits: [
        {
          file: 'packages/core/src/database/transaction/transaction.ts',
          find: `if (broken === undefined) await client.query('ROLLBACK').catch(onError)`,
          replace: `if (broken === undefined) await client.query('COMMIT').catch(onError)`,
        },
      ],
      tests: {
        [transaction]: [
          'a transaction that throws keeps neither rows nor events',
          'a transaction whose events are refused keeps no rows',
        ],
      },
    },
    {
      breaks: 'nobody reads that COMMIT was answered with ROLLBACK',
      edits: [
        {
          file: 'packages/core/src/database/transaction/transaction.ts',
          find: `if (committed.command === 'ROLLBACK') {`,
          replace: `if (committed.command === 'never') {`,
        },
      ],
      tests: {
        [transaction]: [
          'a transaction that swallowed the error of a statement does not pretend to have committed',
        ],
        'test/listener/failure.test.ts': [
          'a handler that swallows the error of a statement does not lose its event silently',
        ],
      },
    },
    {
      breaks: 'what an inline projection has refused stays in the transaction of the caller',
      edits: [
        {
          file: 'packages/core/src/outbox/published/outbox.ts',
          find: 'this.#runsInline(events) ? inPart : inTurn',
          replace: 'inTurn',
        },
      ],
      tests: {
        'test/projection/inline.test.ts': [
          'an inline projection that fails leaves a transaction of the caller’s as if nothing had been published',
        ],
      },
    },
    {
      breaks: 'parts of one transaction take no turns',
      edits: [
        {
          file: 'packages/core/src/database/foreign/part.ts',
          find: 'turns.last = turns.last.then(begin)',
          replace: 'turns.last = begin()',
        },
      ],
      tests: {
        'test/projection/inline.test.ts': [
          'what is published at once in one transaction of the caller’s is folded one after the other',
        ],
      },
    },
    {
      breaks: 'events of a foreign transaction are published beside it',
      edits: [
        {
          file: 'packages/core/src/runtime/app/publishing.ts',
          find: ': outbox.insertWithin(await foreignExecutor(options.tx), events)',
          replace: ': outbox.insert(this.#environment.database, events)',
        },
      ],
      tests: {
        [foreign]: [
          'events published in ${how} are visible when it has committed, and not before',
          'events published in ${how} that rolls back never were',
        ],
        'test/projection/inline.test.ts': [
          'an inline projection is rolled back with its publisher, whoever owns the transaction',
        ],
      },
    },
    {
      breaks: 'a duplicate is an error of the server instead of an answer',
      edits: [
        {
          file: statements,
          find: `    IF ordinals <> '{}' THEN`,
          replace: `    IF ordinals <> '{}' THEN RAISE EXCEPTION 'a duplicate';`,
        },
      ],
      tests: {
        [foreign]: ['refusals do not abort ${how}: it can go on and commit'],
        [coalescingStreams]: [
          'each call of a shared statement is judged alone: conflicts and duplicates reach their own callers',
        ],
      },
    },
    {
      breaks: 'a batch that the server refuses is refused to all of its callers',
      edits: [
        {
          file: 'packages/core/src/outbox/published/coalescer.ts',
          find: 'if (calls.length === 1 || isConnectionError(error) || isDone) {',
          replace: 'if (calls.length > 0) {',
        },
      ],
      tests: {
        [coalescing]: [
          'a call that the server refuses does not fail its neighbours in the same statement',
        ],
      },
    },
    {
      breaks: 'a publish whose connection is lost does not say that it may have happened',
      edits: [
        {
          file: 'packages/core/src/outbox/published/publish-call.ts',
          find: `'TIDEMARK_PUBLISH_UNKNOWN'`,
          replace: `'TIDEMARK_CLOSED'`,
        },
      ],
      tests: {
        [coalescing]: [
          'a publish whose connection is lost says that it does not know, and its idempotency key makes a second one safe',
        ],
      },
    },
    {
      breaks: 'lists go into a transaction of the caller’s as Postgres writes them',
      edits: [
        {
          file: 'packages/core/src/database/foreign/text-values.ts',
          find: 'return JSON.stringify(value.map(textOf))',
          replace:
            "return `{${value.map((one) => (one === null ? 'NULL' : JSON.stringify(textOf(one)))).join(',')}}`",
        },
        {
          file: 'packages/core/src/database/foreign/portable-statement.ts',
          find: String.raw`(?<parameter>\$\d+)::(?<element>\w+)\[\]`,
          replace: String.raw`(?<parameter>\$never)::(?<element>\w+)\[\]`,
        },
      ],
      tests: {
        'test/outbox/caller-settings.test.ts': ['publishes in a session of the caller’s with %s'],
      },
    },
    {
      breaks: 'what the server has discarded a part of is published again by halves',
      edits: [
        {
          file: 'packages/core/src/outbox/published/coalescer.ts',
          find: "const isDone = isTidemarkError(error, 'TIDEMARK_INVARIANT_BROKEN')",
          replace: "const isDone = isTidemarkError(error, 'TIDEMARK_STREAM_CONFLICT')",
        },
      ],
      tests: {
        'test/outbox/coalescing.test.ts': [
          'what the server discards of a shared statement is no reason to publish the rest of it again',
        ],
      },
    },
  ],
}
