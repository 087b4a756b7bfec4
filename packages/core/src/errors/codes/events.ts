/** What can go wrong with defining, publishing and reading events. */
export const eventCodes = {
  TIDEMARK_EVENT_DEFINITION: {
    summary: 'An event definition is incomplete or contradicts itself.',
    example: 'defineEvent("accounts.opened") is at version 2 but cannot read version 1',
    remedy:
      'The message says what is missing, for instance the upcaster from one version to the next.',
  },
  TIDEMARK_EVENT_REDEFINED: {
    summary: 'Two definitions claim the same event type.',
    example: 'two definitions claim the event type "accounts.opened" (versions 1 and 2)',
    remedy: 'Export one definition and import it wherever the event is published or handled.',
  },
  TIDEMARK_INVALID_EVENT: {
    summary: 'A payload does not satisfy the schema of its event.',
    example:
      'the payload of accounts.opened is invalid at amount: Invalid input: expected bigint, received number',
    remedy:
      'The details list each path and what was expected there. Nothing was sent to the database.',
  },
  TIDEMARK_UNSTABLE_SCHEMA: {
    summary: 'A schema does not read back what was written by it.',
    example:
      'the payload of accounts.opened could not be read as it was written: "cents" comes back as something else',
    remedy:
      'A stored value is parsed again whenever it is read. Use `z.codec`, which encodes when it is written and decodes when it is read, or a transform that leaves its own answer as it is. Nothing was sent to the database.',
  },
  TIDEMARK_PAYLOAD_NOT_STORABLE: {
    summary:
      'A value holds something that would not come back as it was: a NUL character, a lone surrogate, a function, a class instance, a cycle.',
    example: 'the payload of accounts.opened cannot be stored: "note" contains a NUL character',
    remedy:
      'The message names the path. Encode binary data as base64 and replace what is not data.',
  },
  TIDEMARK_EVENT_TOO_NEW: {
    summary: 'A stored event has a newer version than this process knows.',
    example: 'event 8100 (orders.placed) has version 2, and this process knows it up to version 1',
    remedy:
      'Nothing is lost: the listener waits for a process with the newer definition. Deploy one, or finish the deploy.',
  },
  TIDEMARK_EVENT_LOSES_CONNECTION: {
    summary:
      'The connection was lost each time that an event was handled alone, while others were served.',
    example:
      'letters lost its connection 10 times while it handled event 8100 (orders.placed), and other connections were served',
    remedy:
      'Look for what ends the session: pg_terminate_backend, a statement that crashes the server, a proxy that cuts large or slow statements.',
  },
  TIDEMARK_EVENT_UNREADABLE: {
    summary:
      'A stored event cannot be decoded, upcast or validated by the definition in this process.',
    example:
      'event 42 (accounts.opened, version 3) cannot be read: this process knows it up to version 2',
    remedy:
      'Deploy a definition that reads it (an upcaster, a wider schema), then resume the listener. The event is not skipped.',
  },
  TIDEMARK_STREAM_CONFLICT: {
    summary:
      'The stream is not at the version that the publisher expected: somebody appended first.',
    example: 'accounts.opened was not published: stream "account-1" is at version 4, not 3',
    remedy: 'Load the stream again, decide again, and publish with its present version.',
  },
  TIDEMARK_DUPLICATE_EVENT: {
    summary: 'The idempotency key was used before.',
    example: 'accounts.opened was not published: idempotency key "request-7" was used by event 42',
    remedy: 'The event is published already (`details.sequence`); nothing is left to do.',
  },
  TIDEMARK_PUBLISH_UNKNOWN: {
    summary:
      'The connection was lost while the event was being published: it may or may not be stored.',
    example: 'the connection was lost while the event was being published',
    remedy: 'Publish again with the same `idempotencyKey`, which makes the retry safe.',
  },
  TIDEMARK_PUBLISH_QUEUE_FULL: {
    summary:
      'More events wait to be published than the process may keep; nothing of this call was sent.',
    example: '100000 events of 31400000 bytes wait to be published already',
    remedy:
      'Await what you publish, or publish lists; the option `publishQueue` of defineApp says how much may wait.',
  },
  TIDEMARK_STREAM_BUSY: {
    summary:
      'Another transaction has held the stream or the idempotency key for longer than a publish waits; nothing of this call was published.',
    example: 'orders.placed was not published: stream "order-7" is held by another transaction',
    remedy:
      'Find the transaction (pg_stat_activity, `tidemark doctor`) and keep it short: publish late in it. How long a publish waits is `publishQueue: { patience }` of defineApp.',
  },
} as const
