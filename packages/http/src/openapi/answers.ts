import { jobStatuses } from 'tidemark'
import { z } from 'zod'

export const time: z.ZodType<string> = z.iso.datetime()
export const json: z.ZodType = z.unknown()
const status = z.enum(jobStatuses)

interface ErrorShape {
  readonly name: string
  readonly message: string
  readonly code?: string | undefined
  readonly hint?: string | undefined
  readonly stack?: string | undefined
  readonly cause?: ErrorShape | undefined
}

export const described: z.ZodType<ErrorShape> = z
  .object({
    name: z.string(),
    message: z.string(),
    code: z.string().optional(),
    hint: z.string().optional(),
    stack: z
      .string()
      .optional()
      .describe('For those who may see payloads, where it is shown at all.'),
    get cause() {
      return described.optional()
    },
  })
  .describe('An error.')

const job = z.object({
  id: z.uuid(),
  name: z.string().describe('Its type.'),
  queue: z.string(),
  status,
  parked: z
    .enum(['new', 'key', 'type', 'limit', 'pause'])
    .nullable()
    .describe(
      'Why a queued job is not run: `key`: others with its concurrency key are; `type`: no live process knows it in the version that it `needs`; `limit`: the limit of its type does not let it; `pause`: its queue or its type was paused; `new`: nobody has looked yet.',
    ),
  requested: z.enum(['pause', 'cancel']).nullable().describe('What was asked of a running job.'),
  needs: z.int().describe('The least version of its definition that can go on with it.'),
  priority: z.int().describe('Lower runs first.'),
  attempt: z.int(),
  input: json,
  output: json.optional(),
  largeOutput: z
    .int()
    .nullable()
    .describe(
      'The characters of an output that is kept apart because it is large: a page of jobs has it without.',
    ),
  retrying: z.boolean().describe('Whether it has failed and is tried again.'),
  encodedOutput: z
    .boolean()
    .describe(
      'Whether the output is stored compressed or encrypted: a page of jobs has it without.',
    ),
  unreadable: z
    .string()
    .nullable()
    .describe('Why the output cannot be shown: this process lacks the codec or the key of it.'),
  error: described.nullable().describe('Of the last attempt that failed.'),
  waiting: z.record(z.string(), json).nullable().describe('What it waits for.'),
  progress: json,
  uniqueKey: z.string().nullable(),
  concurrencyKey: z.string().nullable(),
  triggeredBy: z.string(),
  correlationId: z.string().nullable(),
  causationId: z.string().nullable(),
  parent: z.uuid().nullable(),
  process: z.uuid().nullable().describe('The process that runs it.'),
  createdAt: time,
  runAt: time.nullable().describe('When it may run next; null: when what it waits for is there.'),
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  checkpointAt: time.nullable().describe('When it last stored its state.'),
})

const schedule = z.object({
  name: z.string(),
  source: z.enum(['code', 'runtime']).describe('Where it is defined.'),
  version: z.int(),
  job: z.string().describe('The type of job that it spawns.'),
  cron: z.string(),
  timeZone: z.string(),
  status: z.enum(['active', 'paused']),
  overlap: z.enum(['skip', 'allow']),
  catchUp: z.enum(['none', 'last', 'all']),
  input: json.describe('What the job is given; null for one in code.'),
  nextAt: time.nullable(),
  lastJob: z.uuid().nullable(),
})

/** What requests are answered with: a component of the OpenAPI document each. */
export const answers: Readonly<Record<string, z.ZodType>> = {
  Error: described,
  Job: job,
  JobPage: z.object({
    jobs: z.array(job),
    next: z.uuid().nullable().describe('What to give as `after` for the next page.'),
  }),
  Spawned: z.object({
    id: z.uuid(),
    duplicate: z.boolean().describe('Whether it was there already.'),
    outcome: z
      .enum(['spawned', 'kept', 'replaced', 'follows'])
      .describe(
        '`kept`: it was there. `replaced`: it had not begun, and is the new job now. `follows`: it runs after the job that has its unique key and has begun.',
      ),
  }),
  Bulk: z.object({
    done: z.int().describe('With how many it was done.'),
    asked: z.int().describe('How many that are running were asked to stop.'),
    refused: z.int().describe('How many could not: they had gone on meanwhile.'),
  }),
  Schedule: schedule,
  Schedules: z.object({ schedules: z.array(schedule) }),
  Ticks: z.object({
    ticks: z.array(
      z.object({
        tick: time,
        outcome: z.enum(['fired', 'missed', 'overlapped', 'paused', 'failed']),
        job: z.uuid().nullable(),
        error: described.nullable(),
      }),
    ),
  }),
  Pauses: z.object({
    pauses: z.array(
      z.object({
        kind: z.enum(['queue', 'type']),
        name: z.string(),
        since: time,
        by: z.string(),
        waiting: z.int().describe('How many jobs wait behind it; at most 10,000 are counted.'),
      }),
    ),
  }),
  Steered: z.object({
    id: z.uuid(),
    status: status.describe(
      '`running` when it was asked and has not heard of it yet; `scheduled` when it is cancelled once its children have ended.',
    ),
  }),
  Signalled: z.object({ id: z.uuid(), name: z.string() }),
  Result: z.object({ status, output: json.optional() }),
  Attempts: z.object({
    attempts: z.array(
      z.object({
        token: z.string(),
        attempt: z.int(),
        outcome: z.string(),
        triggeredBy: z.string(),
        process: z.uuid().nullable(),
        startedAt: time.nullable(),
        finishedAt: time.nullable(),
        duration: z.number().nullable().describe('In milliseconds.'),
        error: described.nullable(),
      }),
    ),
  }),
  Steps: z.object({
    steps: z.array(
      z.object({
        id: z.string(),
        output: json.optional(),
        unreadable: z.string().nullable().describe('Why the output cannot be shown.'),
        startedAt: time,
        completedAt: time,
      }),
    ),
  }),
  Logs: z.object({
    lines: z.array(
      z.object({
        number: z.string().describe('What to give as `after` for the lines that follow.'),
        at: time,
        level: z.string(),
        message: z.string(),
        fields: json,
      }),
    ),
  }),
  Trace: z.object({
    nodes: z.array(
      z.object({
        depth: z.int().describe('How many causes there are above it.'),
        kind: z.string().describe('`event`, `job`, `step`, or what a job has waited for.'),
        id: z.string().describe('Of a step: that of its job, `#` and its name.'),
        cause: z.string().nullable().describe('The id of what caused it.'),
        name: z.string(),
        status: z.string(),
        at: time,
        endedAt: time.nullable(),
      }),
    ),
  }),
  Types: z.object({
    types: z.array(
      z.object({
        name: z.string(),
        kind: z.literal('job'),
        version: z.int(),
        description: z.string().optional(),
        aliases: z.array(z.string()),
        queue: z.string(),
        input: z.record(z.string(), json).nullable().describe('JSON Schema.'),
        output: z.record(z.string(), json).nullable().describe('JSON Schema.'),
        state: z.record(z.string(), json).nullable().describe('JSON Schema.'),
        processes: z.int().describe('How many live processes run it.'),
        spawnable: z.boolean().describe('Whether this API can spawn it.'),
      }),
    ),
  }),
  Progress: z.object({ status, attempt: z.int(), progress: json }),
  Problem: z
    .object({
      type: z.string(),
      title: z.string(),
      status: z.int(),
      detail: z.string().optional(),
      code: z.string().optional(),
      hint: z.string().optional(),
      details: json.optional(),
    })
    .describe('RFC 9457.'),
}
