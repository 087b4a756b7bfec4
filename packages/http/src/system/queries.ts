import { deadLetterStates, type BulkVerb, type DeadLetter } from 'tidemark'
import { z } from 'zod'
import { invalidRequest } from '../answers/problem.ts'
import { listQuery, type ListQuery } from '../jobs/requests.ts'

/** A name, a key or a part of one. How many bytes it has, and what they are, the library checks. */
const text = z.string().min(1).max(1000)
const time = z.iso.datetime({ offset: true })
const limit = z.coerce.number().int().min(1).max(1000)

const digits = /^\d{1,18}$/u

/** A sequence or a version of a stream: a whole number, as a text because it may be larger than JavaScript counts. */
const sequence = z.string().regex(digits)

/** A list of texts with commas between them. */
const texts = z.preprocess(
  (value) => (typeof value === 'string' ? value.split(',') : value),
  z.array(text).min(1).max(100),
)

/** The sequence that a path names. */
export function sequenceIn(path: Readonly<Record<string, string>>): bigint {
  const named = path['sequence'] ?? ''
  if (digits.test(named)) return BigInt(named)
  throw invalidRequest(400, `"${named.slice(0, 100)}" is not a sequence`)
}

/** What events are looked for by. */
export interface EventQuery {
  readonly type?: readonly string[] | undefined
  readonly stream?: string | undefined
  readonly key?: string | undefined
  readonly id?: string | undefined
  readonly correlation?: string | undefined
  readonly causation?: string | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
  readonly path?: string | undefined
  readonly equals?: string | undefined
  readonly after?: string | undefined
  readonly before?: string | undefined
  readonly limit?: number | undefined
}

export const eventQuery: z.ZodType<EventQuery> = z
  .strictObject({
    type: texts.optional().describe('One stored type, or several with commas between them.'),
    stream: text.optional(),
    key: text.optional().describe('The ordering key: an event’s own, or its stream.'),
    id: z.uuid().optional(),
    correlation: text.optional(),
    causation: text.optional(),
    since: time.optional().describe('Only events that were recorded then or later.'),
    until: time.optional().describe('Only events that were recorded before.'),
    path: text
      .optional()
      .describe('Only events whose payload has something there: `customer.id`, `lines.0.sku`.'),
    equals: z
      .string()
      .max(1000)
      .optional()
      .describe(
        'With `path`: only those that have this text there; `true` and `12` are texts, too.',
      ),
    after: sequence.optional().describe('Only events after this sequence.'),
    before: sequence
      .optional()
      .describe('Only events before this sequence: `next` of the page before.'),
    limit: limit.optional().describe('The most. Defaults to 100.'),
  })
  .refine(({ path, equals }) => path !== undefined || equals === undefined, {
    message: '`equals` needs a `path`',
    path: ['equals'],
  })

/** A page of names. */
export interface NamesQuery {
  readonly prefix?: string | undefined
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

export const streamsQuery: z.ZodType<NamesQuery> = z.strictObject({
  prefix: text.optional().describe('Only streams whose names begin with this.'),
  after: text.optional().describe('Only streams after this one: `next` of the page before.'),
  limit: limit.optional().describe('The most. Defaults to 100.'),
})

/** A page of a stream. */
export interface StreamQuery {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

export const streamQuery: z.ZodType<StreamQuery> = z.strictObject({
  after: sequence.optional().describe('Only events after this version: `next` of the page before.'),
  limit: limit.optional().describe('The most. Defaults to 100.'),
})

export const keysQuery: z.ZodType<NamesQuery> = z.strictObject({
  prefix: text.optional().describe('Only keys that begin with this.'),
  after: text.optional().describe('Only keys after this one: `next` of the page before.'),
  limit: limit.optional().describe('The most. Defaults to 100.'),
})

/** Which state of a projection. */
export interface StateQuery {
  readonly key?: string | undefined
}

export const stateQuery: z.ZodType<StateQuery> = z.strictObject({
  key: text.optional().describe('Of a keyed projection: which.'),
})

/** Which dead letters are meant. */
export interface DeadLetterQuery {
  readonly listener?: string | undefined
  readonly key?: string | undefined
  readonly group?: string | undefined
  readonly state?: readonly DeadLetter['state'][] | undefined
}

const state = z.enum(deadLetterStates)
const group = z.string().regex(/^[\da-f]{32}$/u)
const selection = {
  listener: text.optional(),
  key: text.optional(),
  group: group.optional().describe('Only those that failed in one way: the `group` of a group.'),
  state: z
    .preprocess(
      (value) => (typeof value === 'string' ? value.split(',') : value),
      z.array(state).min(1),
    )
    .optional()
    .describe('One, or several with commas between them.'),
}

/** A page of dead letters. */
export interface DeadLetterPageQuery extends DeadLetterQuery {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

export const deadLettersQuery: z.ZodType<DeadLetterPageQuery> = z.strictObject({
  ...selection,
  after: z
    .string()
    .regex(/^.{1,1000}\/\d{1,18}$/u)
    .optional()
    .describe('Only those after this one: `next` of the page before.'),
  limit: limit.optional().describe('The most. Defaults to 100.'),
})

export const deadLetterGroupsQuery: z.ZodType<DeadLetterQuery> = z.strictObject(selection)

/** Which dead letters something is decided about. */
export interface DeadLettersBody {
  readonly listener: string
  readonly sequence?: string | undefined
  readonly key?: string | undefined
  readonly group?: string | undefined
  readonly states?: readonly DeadLetter['state'][] | undefined
  readonly limit?: number | undefined
}

export const deadLettersBody: z.ZodType<DeadLettersBody> = z.strictObject({
  listener: text,
  sequence: sequence.optional().describe('One.'),
  key: text.optional().describe('Those of a key.'),
  group: group.optional().describe('Those of a group.'),
  states: z.array(state).min(1).optional().describe('Only those in one of these states.'),
  limit: z.int().min(1).max(100_000).optional().describe('The most. Defaults to 1,000.'),
})

export const skipBody: z.ZodType<{ readonly sequence?: string | undefined }> = z.strictObject({
  sequence: sequence
    .optional()
    .describe('Only if it halted on this event. Defaults to whatever it halted on.'),
})

/** Where a listener is sent. */
export interface ResetBody {
  readonly to?: string | undefined
  readonly evenPruned?: boolean | undefined
}

export const resetBody: z.ZodType<ResetBody> = z.strictObject({
  to: sequence.optional().describe('The sequence to go on after. Defaults to 0: everything again.'),
  evenPruned: z
    .boolean()
    .optional()
    .describe('Go back even where events that it handles were pruned. Defaults to false.'),
})

export const resetProjectionBody: z.ZodType<Omit<ResetBody, 'to'>> = z.strictObject({
  evenPruned: z
    .boolean()
    .optional()
    .describe('Derive it from what is left where events were pruned. Defaults to false.'),
})

export const doctorQuery: z.ZodType<{ readonly publisherAge?: number | undefined }> =
  z.strictObject({
    publisherAge: z.coerce
      .number()
      .int()
      .min(0)
      .max(86_400_000)
      .optional()
      .describe(
        'How long a transaction may publish before it is named, in milliseconds. Defaults to 10,000.',
      ),
  })

/** Without what is undefined, which stands for "not given". */
export function given<T extends object>(
  value: T,
): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(
    Object.entries(value).filter(([, inner]) => inner !== undefined),
  ) as never
}

/** Which jobs are counted: those of a list, without its pages. */
export type JobCountQuery = Omit<ListQuery, 'after' | 'limit'>

export const jobCountQuery: z.ZodType<JobCountQuery> = (listQuery as z.ZodObject).omit({
  after: true,
  limit: true,
})

const bulkVerbs: readonly BulkVerb[] = ['cancel', 'pause', 'resume', 'retry', 'delete']

/** What the path says is to be done to many jobs. */
export function bulkVerbIn(path: Readonly<Record<string, string>>): BulkVerb {
  const verb = bulkVerbs.find((one) => one === path['verb'])
  if (verb !== undefined) return verb
  throw invalidRequest(404, `nothing of that name can be done to many jobs`)
}

/** Which recorded actions to list. */
export interface AuditQuery {
  readonly by?: string | undefined
  readonly via?: string | undefined
  readonly action?: string | undefined
  readonly name?: string | undefined
  readonly outcome?: 'done' | 'refused' | 'failed' | 'open' | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
  readonly before?: string | undefined
  readonly limit?: number | undefined
}

export const auditQuery: z.ZodType<AuditQuery> = z.strictObject({
  by: text.optional().describe('Only what this one did.'),
  via: text.optional().describe('Only what came this way: `http`, `console` or `cli`.'),
  action: text.optional(),
  name: text.optional().describe('Only what was done to what has this name.'),
  outcome: z.enum(['done', 'refused', 'failed', 'open']).optional(),
  since: time.optional(),
  until: time.optional(),
  before: sequence
    .optional()
    .describe('Only those before the one of this id: `next` of the page before.'),
  limit: limit.optional(),
})

export const historyQuery: z.ZodType<{ readonly since?: string | undefined }> = z.strictObject({
  since: time.optional().describe('Only since then. Defaults to a day ago.'),
})
