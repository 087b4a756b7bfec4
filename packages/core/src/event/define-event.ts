import type { z } from 'zod'
import { shown } from '../errors/checked-text.ts'
import {
  rejectUnknownOptions,
  requireList,
  requireName,
  requireOptions,
  requireWhole,
} from '../errors/options.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EncodedValue } from './encoded/codec.ts'
import { checkBySchema, type CheckedValue, type WrittenBy } from './schema/schema-codec.ts'
import { isSchema } from './schema/schema-parts.ts'
import type { UpcasterChain, Upcasting } from './upcasters.ts'

/** How {@link defineEvent} describes an event. */
export interface EventOptions<
  Schema extends z.ZodType,
  Chain extends UpcasterChain = UpcasterChain,
> {
  /**
   * The schema of the payload. It is checked when the event is made and again when it is read. Codecs (`z.codec`,
   * `z.stringbool`) encode the payload when it is written and decode it when it is read; whatever else changes a value
   * must answer the same when it is given its own answer: what does not come back equal is refused when the event is
   * made, with TIDEMARK_UNSTABLE_SCHEMA.
   */
  readonly payload: Schema
  /** The version of the payload's shape. Defaults to 1. */
  readonly version?: number
  /**
   * For each earlier version, what turns its payload into that of the next version. Each must answer what the next one
   * takes, and the last one what the schema reads.
   */
  readonly upcast?: Chain & Upcasting<Chain, z.input<Schema>>
  /**
   * Names that the type had before. Stored events of them are read as events of this type, whose versions they
   * count: to rename a type and change its payload at once, raise `version` too. New events have the new name.
   * Defaults to none.
   */
  readonly aliases?: readonly string[]
  /** What the event means, for people. */
  readonly description?: string
}

/** An event that has been made and not yet published. */
export interface EventDraft<Type extends string = string, Payload = unknown> {
  readonly definition: EventDefinition<Type, Payload>
  readonly payload: Payload
}

/** A draft with what its payload was encoded to when it was made: what is changed in it later does not count. */
class MadeDraft<Type extends string, Payload> implements EventDraft<Type, Payload> {
  readonly definition: EventDefinition<Type, Payload>
  readonly payload: Payload
  readonly #encoded: EncodedValue | TidemarkError

  /** @param encoded - or why it cannot be stored: whoever publishes it is told. */
  constructor(
    definition: EventDefinition<Type, Payload>,
    payload: Payload,
    encoded: EncodedValue | TidemarkError,
  ) {
    this.definition = definition
    this.payload = payload
    this.#encoded = encoded
    Object.freeze(this)
  }

  static encodedOf(draft: object): EncodedValue | undefined {
    if (!(#encoded in draft)) return undefined
    if (draft.#encoded instanceof TidemarkError) throw draft.#encoded
    return draft.#encoded
  }
}

/**
 * The payload of a draft as it is stored.
 *
 * @throws TidemarkError TIDEMARK_INVALID_EVENT, TIDEMARK_PAYLOAD_NOT_STORABLE or TIDEMARK_UNSTABLE_SCHEMA.
 */
export function encodedPayload(draft: EventDraft): EncodedValue {
  const made = MadeDraft.encodedOf(draft)
  if (made !== undefined) return made
  const { encoded } = checkPayload(draft.definition, draft.payload)
  if (encoded instanceof TidemarkError) throw encoded
  return encoded
}

/** A type of event. Call it with a payload to make one; pass it to `.on` to handle it. */
export interface EventDefinition<Type extends string = string, Payload = unknown, Input = never> {
  /**
   * @throws TidemarkError TIDEMARK_INVALID_EVENT when the payload does not satisfy the schema;
   * TIDEMARK_UNSTABLE_SCHEMA when the schema would not read it back as it is. What cannot be stored at all is refused
   * when it is published.
   */
  (payload: Input): EventDraft<Type, Payload>
  readonly type: Type
  readonly version: number
  readonly schema: z.ZodType<Payload>
  readonly upcast: UpcasterChain
  /** The names that it had before. */
  readonly aliases: readonly string[]
  readonly description: string | undefined
}

/** The event that a definition's handlers receive. */
export type PayloadOf<Definition> =
  Definition extends EventDefinition<string, infer Payload> ? Payload : never

const definitions = new WeakSet<object>()

/**
 * Defines a type of event.
 *
 * @param type - its name, for instance `credit.facility_activated`; it is stored with each event, so choose
 * it for good.
 * @throws TidemarkError TIDEMARK_EVENT_DEFINITION when the chain of upcasters has a gap;
 * TIDEMARK_INVALID_OPTION when an option is unknown.
 *
 * @example
 * ```ts
 * import { defineEvent } from 'tidemark'
 * import { z } from 'zod'
 *
 * export const deposited = defineEvent('deposits.deposited', {
 *   version: 2,
 *   payload: z.object({ accountId: z.string(), amount: z.bigint() }),
 *   upcast: { 1: (old: { account: string; amount: bigint }) => ({ accountId: old.account, amount: old.amount }) },
 * })
 * ```
 */
export function defineEvent<
  const Type extends string,
  Schema extends z.ZodType,
  Chain extends UpcasterChain = UpcasterChain,
>(
  type: Type,
  options: EventOptions<Schema, Chain>,
): EventDefinition<Type, z.output<Schema>, WrittenBy<Schema>> {
  const where = `defineEvent(${shown(type)})`
  requireName('defineEvent', type)
  rejectUnknownOptions(where, options, ['payload', 'version', 'upcast', 'aliases', 'description'])
  const { payload: schema, version = 1, upcast = {}, aliases = [], description } = options
  requireWhole(where, 'version', version, 1)
  requireSchema(where, schema)
  requireOptions(`${where}: upcast`, upcast)
  requireUpcasters(where, version, upcast)
  requireList(where, 'aliases', aliases)
  requireAliases(where, type, aliases)

  const make = (payload: WrittenBy<Schema>): EventDraft<Type, z.output<Schema>> => {
    const { value, encoded } = checkPayload(definition, payload)
    return new MadeDraft(definition, value as z.output<Schema>, encoded)
  }
  const definition = Object.freeze(
    Object.assign(make, {
      type,
      version,
      schema,
      upcast: Object.freeze({ ...upcast }),
      aliases: Object.freeze([...aliases]),
      description,
    }),
  ) as unknown as EventDefinition<Type, z.output<Schema>, WrittenBy<Schema>>
  definitions.add(definition)
  return definition
}

/** Whether `value` was made by {@link defineEvent}. */
export function isEventDefinition(value: unknown): value is EventDefinition {
  return typeof value === 'function' && definitions.has(value)
}

/** The types that stored events of the definitions can have: their names, now and before. */
export function storedTypesOf(
  events: Iterable<Pick<EventDefinition, 'type' | 'aliases'>>,
): ReadonlySet<string> {
  return new Set([...events].flatMap(({ type, aliases }) => [type, ...aliases]))
}

function checkPayload(
  { type, schema }: Pick<EventDefinition, 'type' | 'schema'>,
  payload: unknown,
): CheckedValue {
  return checkBySchema(`the payload of ${type}`, schema, payload, (error) =>
    invalidPayload(type, error),
  )
}

function requireAliases(where: string, type: string, aliases: readonly string[]): void {
  for (const alias of aliases) {
    requireName(`${where}: aliases`, alias)
    if (alias !== type && aliases.filter((other) => other === alias).length === 1) continue
    throw new TidemarkError(
      'TIDEMARK_EVENT_DEFINITION',
      `${where} has the alias "${alias}" ${alias === type ? 'which is its own type' : 'twice'}`,
      { hint: 'List only names that the type had before, each once.' },
    )
  }
}

function requireSchema(where: string, schema: unknown): void {
  if (isSchema(schema)) return
  throw new TidemarkError(
    'TIDEMARK_EVENT_DEFINITION',
    `${where} needs a schema of zod 4 as its \`payload\``,
    {
      hint: 'For instance `payload: z.object({ id: z.uuid() })`.',
    },
  )
}

function requireUpcasters(where: string, version: number, upcast: UpcasterChain): void {
  for (let from = 1; from < version; from++) {
    if (typeof upcast[from] === 'function') continue
    throw new TidemarkError(
      'TIDEMARK_EVENT_DEFINITION',
      `${where} is at version ${version} but cannot read version ${from}`,
      {
        hint: `Add \`upcast: { ${from}: (payload) => … }\`, which makes a version ${from + 1} of it.`,
      },
    )
  }
  const stray = Object.keys(upcast).find((from) => !(Number(from) >= 1 && Number(from) < version))
  if (stray === undefined) return
  throw new TidemarkError(
    'TIDEMARK_EVENT_DEFINITION',
    `${where} has an upcaster from version ${stray}, but its version is ${version}`,
    { hint: `Raise \`version\`, or remove the upcaster.` },
  )
}

function invalidPayload(type: string, error: z.ZodError): TidemarkError {
  const issues = error.issues.map((issue) => ({
    path: issue.path.map(String).join('.') || '(payload)',
    message: issue.message,
  }))
  const [first] = issues
  return new TidemarkError(
    'TIDEMARK_INVALID_EVENT',
    `the payload of ${type} is invalid at ${first?.path ?? '(payload)'}: ${first?.message ?? error.message}`,
    { details: { type, issues }, cause: error },
  )
}
