import { jobStatuses, type JobStatus, type PriorityName } from 'tidemark'
import { z } from 'zod'

const time = z.iso.datetime({ offset: true })
// How many bytes it has, and what they are, the library checks.
const text = z.string().min(1).max(1000)
const limit = z.coerce.number().int().min(1).max(1000)
const priority = z.union([
  z.int().min(-2_147_483_647).max(2_147_483_647),
  z.enum(['urgent', 'high', 'normal', 'low', 'idle']),
])
const duration = z.union([z.int().min(0), z.string().regex(/^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/u)])

interface DebounceBody {
  readonly window: number | string
  readonly longest?: number | string | undefined
}

/** A request to spawn: the input, and what the options of `spawn` are in JSON. */
export interface SpawnBody {
  readonly input?: unknown
  readonly delay?: number | string | undefined
  readonly runAt?: string | undefined
  readonly priority?: number | PriorityName | undefined
  readonly queue?: string | undefined
  readonly uniqueKey?: string | undefined
  readonly debounce?: number | string | DebounceBody | undefined
  readonly throttle?: number | string | undefined
  readonly onDuplicate?: 'keep' | 'replace' | 'fail' | undefined
  readonly concurrencyKey?: string | undefined
  readonly id?: string | undefined
}

export const spawnBody: z.ZodType<SpawnBody> = z.strictObject({
  input: z.unknown().optional(),
  delay: duration.optional().describe('How long it waits at least: `5m`, or milliseconds.'),
  runAt: time.optional().describe('When it runs at the earliest.'),
  priority: priority.optional().describe('Lower runs first. By name: -100, -10, 0, 10 and 100.'),
  queue: text.optional(),
  uniqueKey: text.optional().describe('At most one unfinished job has it.'),
  onDuplicate: z
    .enum(['keep', 'replace', 'fail'])
    .optional()
    .describe('What happens when an unfinished job has the unique key. Defaults to `keep`.'),
  debounce: z
    .union([duration, z.strictObject({ window: duration, longest: duration.optional() })])
    .optional()
    .describe('Runs once, with the newest input, when its unique key was quiet for so long.'),
  throttle: duration
    .optional()
    .describe('Runs once in so long, with the newest input of its unique key.'),
  concurrencyKey: text.optional(),
  id: z.uuid().optional().describe('The id of the job: spawning it again changes nothing.'),
})

export const patchBody: z.ZodType<{ readonly priority: number | PriorityName }> = z.strictObject({
  priority: priority.describe('Lower runs first. By name: -100, -10, 0, 10 and 100.'),
})

/** What a job is told. */
export interface SignalBody {
  readonly name: string
  readonly payload?: unknown
}

export const signalBody: z.ZodType<SignalBody> = z.strictObject({
  name: text.describe('The name that the job asks for with `ctx.waitForSignal`.'),
  payload: z.unknown().optional().describe('What the job is given. Defaults to null.'),
})

/** An empty object, or nothing. */
export const emptyBody: z.ZodType<object> = z.strictObject({})

/** What a list is asked by. */
export interface ListQuery {
  readonly status?: readonly JobStatus[] | undefined
  readonly name?: string | undefined
  readonly queue?: string | undefined
  readonly uniqueKey?: string | undefined
  readonly concurrencyKey?: string | undefined
  readonly parent?: string | undefined
  readonly since?: string | undefined
  readonly retrying?: 'true' | 'false' | undefined
  readonly path?: string | undefined
  readonly equals?: string | undefined
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

const path = text
  .optional()
  .describe('Only jobs whose input has something there: `customer.id`, `lines.0.sku`.')
const equals = z
  .string()
  .max(1000)
  .optional()
  .describe('With `path`: only those that have this text there; `true` and `12` are texts, too.')
const retrying = 'Whether they have failed and are tried again.'

export const listQuery: z.ZodType<ListQuery> = z.strictObject({
  status: z
    .preprocess(
      (value) => (typeof value === 'string' ? value.split(',') : value),
      z.array(z.enum(jobStatuses)).min(1),
    )
    .optional()
    .describe('One, or several with commas between them.'),
  name: text.optional(),
  queue: text.optional(),
  uniqueKey: text.optional(),
  concurrencyKey: text.optional(),
  parent: z.uuid().optional().describe('Only jobs that this one spawned.'),
  since: time.optional().describe('Only jobs that were spawned then or later.'),
  retrying: z.enum(['true', 'false']).optional().describe(retrying),
  path,
  equals,
  after: z.uuid().optional().describe('Only jobs before this one: `next` of the page before.'),
  limit: limit.optional().describe('The most. Defaults to 100.'),
})

/** What the lines of a log are asked by. */
export interface LogQuery {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

export const logQuery: z.ZodType<LogQuery> = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,18}$/u)
    .optional()
    .describe('Only lines after this one, by its number.'),
  limit: limit.optional().describe('The most. Defaults to 1,000.'),
})

export const resultQuery: z.ZodType<{ readonly wait?: number | undefined }> = z.strictObject({
  wait: z.coerce
    .number()
    .int()
    .min(0)
    .max(60)
    .optional()
    .describe('How long to wait for the end of the job, in seconds. Defaults to not at all.'),
})

/** Which jobs are steered together. */
export interface BulkBody extends Omit<ListQuery, 'after' | 'retrying'> {
  readonly retrying?: boolean | undefined
  readonly all?: boolean | undefined
}

export const bulkBody: z.ZodType<BulkBody> = z.strictObject({
  status: z.array(z.enum(jobStatuses)).min(1).optional(),
  name: text.optional(),
  queue: text.optional(),
  uniqueKey: text.optional(),
  concurrencyKey: text.optional(),
  parent: z.uuid().optional().describe('Only jobs that this one spawned.'),
  since: time.optional().describe('Only jobs that were spawned then or later.'),
  retrying: z.boolean().optional().describe(retrying),
  path,
  equals,
  all: z.boolean().optional().describe('Says that all are meant, where nothing else is given.'),
  limit: z.int().min(1).max(100_000).optional().describe('The most. Defaults to no limit.'),
})

/** A schedule that is made at run time. */
export interface ScheduleBody {
  readonly cron: string
  readonly timeZone?: string | undefined
  readonly job: string
  readonly input?: unknown
  readonly overlap?: 'skip' | 'allow' | undefined
  readonly catchUp?: 'none' | 'last' | 'all' | undefined
}

export const scheduleBody: z.ZodType<ScheduleBody> = z.strictObject({
  cron: text.describe(
    'Five fields, or six with the seconds first, or a nickname such as `@daily`.',
  ),
  timeZone: text.optional().describe('Defaults to `UTC`.'),
  job: text.describe('The type of the job that is spawned at each tick.'),
  input: z.unknown().optional().describe('What the job is given each time.'),
  overlap: z.enum(['skip', 'allow']).optional(),
  catchUp: z.enum(['none', 'last', 'all']).optional(),
})

export const ticksQuery: z.ZodType<{ readonly limit?: number | undefined }> = z.strictObject({
  limit: limit.optional().describe('The most. Defaults to 100.'),
})
