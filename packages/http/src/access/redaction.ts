import { inspect } from 'node:util'
import { TidemarkError } from 'tidemark'

/** What nobody sees of payloads, whoever may see them otherwise. */
export interface Redaction {
  /** Of events of this type; a `*` stands for any characters: `'accounts.*'`. */
  readonly event?: string
  /** Of the inputs, outputs and progress of jobs of this type, and of the outputs of their steps. */
  readonly job?: string
  /** Of the states of this projection. */
  readonly projection?: string
  /**
   * What is hidden: `'customer.email'`, with `*` for any name or place in a list, as in `'lines.*.price'`. Defaults to
   * everything.
   */
  readonly paths?: readonly string[]
}

/** What a payload belongs to. */
export type PayloadKind = 'event' | 'job' | 'projection'

/** What stands in the place of what is hidden. */
const redacted = '[redacted]'

const kinds: readonly PayloadKind[] = ['event', 'job', 'projection']

interface Rule {
  readonly kind: PayloadKind
  readonly name: RegExp
  /** Null: everything. */
  readonly paths: readonly (readonly string[])[] | null
}

/** Hides parts of payloads, by what they belong to. */
export class Redactor {
  readonly #rules: readonly Rule[]

  /** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
  constructor(redactions: readonly Redaction[] = []) {
    if (!Array.isArray(redactions)) throw noRedaction(redactions)
    this.#rules = redactions.flatMap(rulesOf)
  }

  /** The payload without what is to be hidden. */
  apply(kind: PayloadKind, name: string, payload: unknown): unknown {
    return this.#rules
      .filter((rule) => rule.kind === kind && rule.name.test(name))
      .reduce<unknown>(
        (value, { paths }) =>
          paths === null ? redacted : paths.reduce((inner, path) => hide(inner, path), value),
        payload,
      )
  }

  /**
   * Whether somebody who may search by what a path of events holds could learn what is hidden there. Of any type of
   * event: a search finds those of all.
   */
  wouldTell(path: readonly string[]): boolean {
    return this.#rules.some(
      ({ kind, paths }) =>
        kind === 'event' && (paths === null || paths.some((hidden) => overlap(hidden, path))),
    )
  }
}

function isRedaction(given: unknown): given is Redaction {
  if (typeof given !== 'object' || given === null) return false
  const { paths = [], ...names } = given as Record<string, unknown>
  const texts: readonly unknown[] = [
    ...Object.values(names),
    ...(Array.isArray(paths) ? paths : [0]),
  ]
  return texts.every((text) => text === undefined || typeof text === 'string')
}

function rulesOf(redaction: Redaction): Rule[] {
  if (!isRedaction(redaction)) throw noRedaction(redaction)
  const unknown = Object.keys(redaction).filter(
    (key) => key !== 'paths' && !(kinds as readonly string[]).includes(key),
  )
  const rules = kinds.flatMap((kind): Rule[] => {
    const name = redaction[kind]
    if (name === undefined) return []
    const pattern = name
      .split('*')
      .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/gu, '\\$&'))
      .join('.*')
    const paths = redaction.paths?.map((path) => path.split('.')) ?? null
    return [{ kind, name: new RegExp(`^${pattern}$`, 'su'), paths }]
  })
  if (rules.length > 0 && unknown.length === 0) return rules
  throw noRedaction(redaction)
}

function noRedaction(given: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `createApi: "redact" cannot have ${inspect(given)}`,
    {
      hint: "It names what is hidden, and where: { event: 'accounts.*', paths: ['customer.email'] }.",
    },
  )
}

function hide(value: unknown, [first, ...rest]: readonly string[]): unknown {
  if (first === undefined) return redacted
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  const matches = (name: string): boolean => first === '*' || first === name
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) => (matches(String(index)) ? hide(item, rest) : item))
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, matches(name) ? hide(inner, rest) : inner]),
  )
}

/** Whether one path leads through the other. */
function overlap(a: readonly string[], b: readonly string[]): boolean {
  const length = Math.min(a.length, b.length)
  return Array.from({ length }, (_, index) => index).every(
    (index) => a[index] === b[index] || a[index] === '*' || b[index] === '*',
  )
}
