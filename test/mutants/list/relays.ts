import type { MutantGroup } from '../mutant.ts'

const writer = 'packages/nats/src/jetstream-writer.ts'
const recovery = 'packages/core/src/relay/recovery.ts'
const handling = 'packages/core/src/relay/relay-handling.ts'
const intake = 'packages/core/src/relay/intake-runner.ts'
const relay = 'test/relay/relay.test.ts'
const documents = 'packages/core/test/cloud-event.test.ts'

/** G10: from one service's outbox to another's. */
export const relays: MutantGroup = {
  guarantee: 'G10 From outbox to outbox once, in order, unchanged',
  mutants: [
    {
      breaks: 'a message is stored wherever its stream stands',
      edits: [
        {
          file: writer,
          find: "head.set('Nats-Expected-Last-Sequence', String(before))",
          replace: "head.set('Nats-Expected-Stream', this.#parts.info.config.name)",
        },
      ],
      tests: {
        [relay]: ['whoever goes on from an older tip adds nothing, however much it has sent'],
      },
    },
    {
      breaks: 'a relay goes on from what Postgres knows',
      edits: [
        {
          file: recovery,
          find: 'return { sequence: last.sequence, position }',
          replace: 'return { sequence: mark?.sequence ?? sequenceZero, position }',
        },
      ],
      tests: { [relay]: ['a relay goes on from what the stream holds, not from its cursor'] },
    },
    {
      breaks: 'a relay looks at the last message of its stream only',
      edits: [
        {
          file: handling,
          find: 'await stream.tip(mark?.position)',
          replace: 'await stream.tip()',
        },
      ],
      tests: { [relay]: ['a relay that finds its stream broken says so, and sends nothing more'] },
    },
    {
      breaks: 'a stream that was made anew is taken for the one before',
      edits: [
        {
          file: recovery,
          find: 'mark.created !== tip.created) throw',
          replace: "mark.created === '') throw",
        },
      ],
      tests: {
        [relay]: ['a stream that was made anew stops the relay, and a reset sends it everything'],
      },
    },
    {
      breaks: 'an intake passes over what is missing',
      edits: [
        { file: intake, find: 'if (message.previous > before && ', replace: 'if (before < 0n && ' },
      ],
      tests: { [relay]: ['a message that is missing from the stream stops the intake'] },
    },
    {
      breaks: 'an intake takes what it has taken',
      edits: [
        { file: intake, find: 'if (message.sequence <= before)', replace: 'if (before < 0n)' },
      ],
      tests: { [relay]: ['a stream that is filled anew is taken once'] },
    },
    {
      breaks: 'a relay commits to a topic without a look at where its messages came to be',
      edits: [
        {
          file: 'packages/kafka/src/kafka-writer.ts',
          find: 'if (base !== expected)',
          replace: 'if (base === -2n)',
        },
      ],
      tests: {
        'test/kafka/conformance.test.ts': [
          'somebody else’s message is seen by a relay that is writing, which commits nothing after it',
        ],
      },
    },
    {
      breaks: 'the payload of a document is parsed and written anew',
      edits: [
        {
          file: 'packages/core/src/relay/cloud-event.ts',
          find: 'body.startsWith(head)',
          replace: 'body.length < 0',
        },
      ],
      tests: { [documents]: ['comes back in structured mode as it was, to the letter'] },
    },
    {
      breaks: 'numbers of a document are what JavaScript makes of them',
      edits: [
        {
          file: 'packages/core/src/database/json-text.ts',
          find: 'String(value) !== source',
          replace: 'Number.isNaN(value)',
        },
      ],
      tests: { [documents]: ['keeps its numbers where somebody has written its document anew'] },
    },
    {
      breaks: 'a message does not say which trace it is of',
      edits: [
        {
          file: 'packages/core/src/relay/message.ts',
          find: 'traceparent: event.traceparent,',
          replace: 'traceparent: null,',
        },
      ],
      tests: {
        [relay]: [
          'an event that is published in one service is handled in another, with everything that it says',
        ],
      },
    },
    {
      breaks: 'whoever opens a topic has a transactional id of its own, and looks at nothing',
      edits: [
        {
          file: 'packages/kafka/src/kafka-writer.ts',
          find: 'if (base !== expected)',
          replace: 'if (base === -2n)',
        },
        {
          file: 'packages/kafka/src/kafka.ts',
          find: 'transactionalId: transactionalId ?? `tidemark.${topic.name}`,',
          replace: 'transactionalId: `tidemark.${topic.name}.${Math.random()}`,',
        },
      ],
      tests: {
        'test/kafka/conformance.test.ts': [
          'whoever had the topic open before adds nothing, at whatever moment it tries',
        ],
      },
    },
  ],
}
