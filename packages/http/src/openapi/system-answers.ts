import { deadLetterStates, jobStatuses } from 'tidemark'
import { z } from 'zod'
import { apiActions } from '../access/access.ts'
import { described, json, time } from './answers.ts'

const sequence = z.string().regex(/^\d+$/u).describe('A whole number, as a text.')
const error = described.nullable()
const whole = z.int()

const event = z.object({
  sequence,
  id: z.uuid(),
  type: z.string().describe('As it is stored.'),
  version: whole,
  stream: z.string().nullable(),
  streamVersion: sequence.nullable(),
  key: z.string().nullable(),
  payload: json.describe('Null where it is hidden or was cut.'),
  payloadMeta: json.describe('What JSON cannot say about the payload, in superjson’s notation.'),
  payloadBytes: whole.describe('What it takes in the database, perhaps compressed.'),
  payloadCut: z.boolean().describe('Whether it was left out because it is large.'),
  payloadHidden: z.boolean().describe('Whether who asks may not see payloads.'),
  correlationId: z.string().nullable(),
  causationId: z.string().nullable(),
  traceparent: z.string().nullable(),
  tracestate: z.string().nullable(),
  metadata: json,
  recordedAt: time,
})

const rebuild = z.object({
  projection: z.string(),
  version: whole,
  state: z.enum(['running', 'paused', 'halted']),
  cursor: sequence,
  liveCursor: sequence,
  fraction: z.number().describe('Between 0 and 1.'),
  rate: z.number().describe('Sequences a second since it started, pauses included.'),
  secondsLeft: z.number().nullable(),
  startedAt: time,
  error,
  setAside: whole.describe(
    'How many events the new generation has set aside or passed over: what they change is missing from it.',
  ),
  liveSetAside: whole.describe('The same of the live generation.'),
})

const kind = z.enum(['listener', 'projection', 'relay', 'intake'])

const listener = z.object({
  name: z.string(),
  kind,
  mode: z.enum(['async', 'inline']),
  version: whole,
  status: z.enum(['active', 'paused', 'halted', 'rebuilding']),
  cursor: sequence.describe('The lowest of its partitions.'),
  lag: sequence.describe(
    'How many sequences it is behind: an upper bound of the events left to do.',
  ),
  lagSeconds: z.number().describe('The age of the oldest event after its cursor.'),
  types: z.array(z.string()).describe('The types of events that it handles.'),
  deadLetters: whole.describe('How many events it has set aside that are not given up.'),
  resize: z.object({ to: whole, at: sequence }).nullable(),
  rebuild: rebuild.nullable(),
  partitions: z.array(
    z.object({
      partition: whole,
      cursor: sequence,
      lag: sequence,
      owner: z.uuid().nullable().describe('The process that runs it.'),
      process: z.string().nullable().describe('`host:pid` of that process.'),
      attempts: whole,
      failedSequence: sequence.nullable(),
      nextAttemptAt: time.nullable(),
      haltedAt: time.nullable(),
      lastError: error,
      awaits: z
        .object({ type: z.string(), version: whole })
        .nullable()
        .describe('The version of an event that its owners were too old for.'),
    }),
  ),
})

const state = z.object({
  key: z.string().nullable(),
  state: json.describe('Null where it is hidden or was cut.'),
  stateMeta: json,
  stateHidden: z.boolean(),
  sequence: sequence.describe('The last event that went into it.'),
  bytes: whole,
  cut: z.boolean().describe('Whether it was left out because it is large.'),
})

const deadLetterState = z.enum(deadLetterStates)

const deadLetter = z.object({
  listener: z.string(),
  sequence,
  type: z.string(),
  eventId: z.uuid(),
  key: z.string().nullable(),
  holdsKey: z.boolean().describe('Whether later events with the same key wait behind it.'),
  state: deadLetterState,
  attempts: whole,
  error,
  createdAt: time,
})

const finding = z.object({
  check: z.string(),
  code: z.string().describe('What it is, the same in every version; `ok` when nothing is wrong.'),
  status: z.enum(['ok', 'warning', 'failed']),
  summary: z.string(),
  remedy: z.string().nullable(),
  subject: z.object({ kind: z.string(), name: z.string() }).nullable(),
  details: json,
  actions: z
    .array(
      z.object({
        action: z.string(),
        title: z.string(),
        effect: z.string(),
        name: z.string().nullable(),
        count: whole.nullable().describe('To how many, where that can be counted.'),
        command: z.string().describe('The same with the command line.'),
        request: z.object({
          needs: z.enum(apiActions as readonly [string, ...string[]]),
          method: z.literal('POST'),
          path: z.string().describe('Below the base path.'),
          body: json,
        }),
      }),
    )
    .describe('What can be done about it at once, and loses nothing.'),
})

const group = z.object({
  name: z.string(),
  limit: z
    .object({
      concurrency: whole.nullable(),
      rate: whole.nullable(),
      period: z.number().nullable().describe('In milliseconds.'),
    })
    .nullable(),
  paused: z.object({ since: time, by: z.string() }).nullable(),
  processes: whole.describe('How many live processes run it.'),
  scheduled: whole,
  queued: whole,
  running: whole,
  oldestQueuedAt: time.nullable(),
})

const process = z.object({
  id: z.uuid(),
  hostname: z.string(),
  pid: whole,
  library: z.string(),
  startedAt: time,
  heartbeatAt: time,
  silentSeconds: z.number(),
  alive: z.boolean(),
  definitions: z.array(z.object({ kind: z.string(), name: z.string(), version: whole })),
  leases: z.array(z.object({ listener: z.string(), partition: whole })),
  jobs: whole.describe('How many it runs.'),
  vitals: z
    .object({
      beatEvery: z.number().describe('How often it says that it lives, in milliseconds.'),
      residentBytes: whole,
      heapBytes: whole,
      loopDelay: z
        .number()
        .describe('The 99th of a hundred delays of its event loop, in milliseconds.'),
      loopDelayMax: z.number(),
      clockAhead: z.number().nullable().describe('Of the server’s clock, in milliseconds.'),
      troubles: z.array(
        z.object({ code: z.string(), name: z.string(), seconds: z.number(), why: z.string() }),
      ),
    })
    .nullable()
    .describe('How it is, by its own account.'),
})

const publisher = z.object({
  floor: sequence.describe('Nothing after this is read until it ends.'),
  pid: whole.nullable(),
  prepared: z.string().nullable(),
  application: z.string().nullable(),
  state: z.string().nullable(),
  ageSeconds: z.number().nullable(),
  query: z.string().nullable(),
})

const overview = z.object({
  at: time,
  lastSequence: sequence,
  horizon: sequence,
  publishRate: z.number().nullable().describe('Sequences a second since the snapshot before.'),
  publishers: z.array(publisher).describe('At most ten, those that hold the horizon back first.'),
  listeners: z.array(
    listener.omit({ types: true, rebuild: true }).extend({
      rate: z.number().nullable().describe('Sequences a second.'),
      partitions: whole,
      owned: whole.describe('How many of the partitions some process runs.'),
      halted: whole,
      failing: whole,
    }),
  ),
  rebuilds: z.array(rebuild),
  processes: z.array(process.extend({ definitions: whole, leases: whole })),
  jobs: z.record(z.string(), whole).describe('How many are in which status.'),
  ok: z.boolean().describe('Whether nothing has failed.'),
  findings: z
    .array(finding)
    .describe('What is wrong: as old as five seconds, of stored types a minute.'),
})

/** What requests that are not about single jobs are answered with. */
export const systemAnswers: Readonly<Record<string, z.ZodType>> = {
  Access: z.object({
    readOnly: z.boolean(),
    allowed: z.partialRecord(z.enum(apiActions as readonly [string, ...string[]]), z.boolean()),
  }),
  Event: event,
  Events: z.object({
    events: z.array(event),
    next: sequence
      .nullable()
      .describe('What to give as `before` to look further; null: everything was looked at.'),
    horizon: sequence,
  }),
  EventTypes: z.object({
    types: z.array(
      z.object({
        type: z.string(),
        version: whole,
        events: whole.describe('About how many.'),
        readAs: z.string().nullable(),
        readable: z.boolean(),
      }),
    ),
    complete: z.boolean().describe('Whether everything was looked at, or a sample.'),
  }),
  EventDetails: z.object({
    event,
    received: z.array(
      z.object({
        listener: z.string(),
        kind,
        state: z.enum([
          'handled',
          'waiting',
          'failing',
          'halted',
          'parked',
          'behind',
          'retry',
          'skipped',
        ]),
        attempts: whole,
        error,
      }),
    ),
  }),
  DecodedEvent: z.object({
    defined: z.boolean(),
    event: event
      .omit({ payloadMeta: true, payloadBytes: true })
      .describe('By its present name, in its present version.')
      .nullable(),
    error,
  }),
  EventTrace: z.object({
    nodes: z.array(
      z.object({
        depth: whole,
        kind: z.string().describe('`event`, `listener`, `job`, `step`, or what a job waited for.'),
        id: z.string(),
        cause: z.string().nullable().describe('The id of what caused it.'),
        name: z.string(),
        status: z.string(),
        at: time,
        endedAt: time.nullable(),
        sequence: sequence.nullable().describe('Of an event.'),
      }),
    ),
    complete: z.boolean(),
  }),
  Streams: z.object({
    streams: z.array(z.object({ stream: z.string(), version: sequence })),
    next: z.string().nullable(),
  }),
  Stream: z.object({
    stream: z.string(),
    version: sequence,
    events: z.array(event),
    next: sequence.nullable().describe('What to give as `after` for the next page.'),
  }),
  Listener: listener,
  Listeners: z.object({ listeners: z.array(listener) }),
  Skipped: z.object({
    skipped: z.array(z.looseObject({ partition: whole, sequence })),
  }),
  State: state,
  States: z.object({ states: z.array(state), next: z.string().nullable() }),
  Rebuild: rebuild,
  Rebuilds: z.object({ rebuilds: z.array(rebuild) }),
  RebuildStarted: z.object({
    rebuild: rebuild.nullable().describe('Null when it is over already.'),
  }),
  DeadLetter: deadLetter,
  DeadLetters: z.object({ deadLetters: z.array(deadLetter), next: z.string().nullable() }),
  DeadLetterGroups: z.object({
    groups: z.array(
      z.object({
        group: z.string(),
        listener: z.string(),
        type: z.string(),
        code: z.string().nullable(),
        error: error.describe('Of the newest of them.'),
        events: whole,
        states: z.partialRecord(deadLetterState, whole),
        heldKeys: whole,
        firstSequence: sequence,
        lastSequence: sequence,
        firstAt: time,
        lastAt: time,
      }),
    ),
  }),
  Decided: z.object({ events: whole.describe('About how many dead letters it was decided.') }),
  Repairs: z.object({
    repairs: z.array(
      z.object({ name: z.string(), found: z.array(z.string()), done: z.boolean(), error }),
    ),
  }),
  Examination: z.object({ ok: z.boolean(), findings: z.array(finding) }),
  Outbox: z.object({
    lastSequence: sequence,
    horizon: sequence.describe('Up to where every publisher’s outcome is known.'),
    lowestCursor: z.object({ listener: z.string(), sequence }).nullable(),
    partitions: z.array(
      z.object({
        name: z.string(),
        from: sequence,
        to: sequence,
        events: sequence.nullable(),
        bytes: sequence,
      }),
    ),
    strays: z.boolean(),
    prunedBelow: sequence.nullable(),
    idempotencyKeys: sequence.nullable(),
    publishers: z.array(publisher),
  }),
  History: z.object({
    samples: z
      .array(
        z.object({
          at: time,
          lastSequence: sequence,
          handled: sequence.describe('The sum of what listeners had come past.'),
          lagSeconds: z.number().describe('Of the slowest listener.'),
          deadLetters: whole,
          processes: whole,
          queued: whole,
          running: whole,
          failed: whole,
        }),
      )
      .describe('The oldest first; minutes in which no worker ran are missing.'),
  }),
  Audit: z.object({
    entries: z.array(
      z.object({
        id: sequence,
        at: time,
        via: z.string().describe('`http`, `console`, `cli`, or one of the application’s own.'),
        by: z.string().describe('Who did it.'),
        databaseUser: z.string(),
        action: z.string(),
        subject: z.object({ kind: z.string(), name: z.string() }).nullable(),
        asked: json.describe('What was asked for beside that, without payloads.'),
        outcome: z
          .enum(['done', 'refused', 'failed'])
          .nullable()
          .describe('Null: it is under way, or its process has died.'),
        code: z.string().nullable().describe('Of the error.'),
        result: json.describe('Ids and numbers: what was made, how many there were.'),
        endedAt: time.nullable(),
      }),
    ),
    next: sequence.nullable().describe('From where to look further, as `before`.'),
  }),
  Overview: overview,
  Processes: z.object({ processes: z.array(process) }),
  Queues: z.object({ queues: z.array(group) }),
  JobTypes: z.object({ types: z.array(group) }),
  BulkCount: z.object({
    jobs: whole,
    complete: z
      .boolean()
      .describe(
        'Whether these are all. False: they are among those spawned first, and `limit` keeps what is done to them.',
      ),
  }),
  JobCounts: z.object({
    counts: z.partialRecord(z.enum([...jobStatuses, 'parked']), whole),
    retrying: whole.describe(
      'How many of them have failed and are tried again. Counting stops at 10,000.',
    ),
  }),
}
