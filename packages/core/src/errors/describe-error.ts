import { field, looksLikeError, preview, storableText, textField } from './foreign-value.ts'

/** An error as it is stored, written to logs and answered over HTTP. */
export interface ErrorDescription {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly hint?: string
  readonly stack?: string
  readonly cause?: ErrorDescription
  /** Of an error that stands for several (`AggregateError`), the first of them. */
  readonly errors?: readonly ErrorDescription[]
  /** What else went wrong: functions of the application that were asked about the failure and failed, too. */
  readonly notes?: readonly string[]
}

const mostText = 4_000
const mostShort = 200
const mostErrors = 10
// Of all texts together: causes of causes, and the errors of each.
const mostInAll = 24_000
const deepest = 8
// What each takes of that besides its texts: a tree of errors that say nothing ends, too.
const ofEach = 100

/**
 * Flattens whatever was thrown for storage, logs, spans and answers: name, message, code, stack, the causes behind it
 * and the errors within it.
 *
 * INVARIANT: it never throws, ends, and answers plain JSON of at most some 100 KB that Postgres can store, whatever it
 * is given: cycles, accessors that throw, proxies, prototypes of other realms, megabytes.
 */
export function describeError(error: unknown, notes: readonly string[] = []): ErrorDescription {
  const description = new Describer().describe(error)
  return notes.length === 0
    ? description
    : { ...description, notes: notes.slice(0, mostErrors).map((note) => text(note, mostText)) }
}

/** The message of whatever was thrown, in one line of at most 4,000 characters. Never throws. */
export function messageOf(error: unknown): string {
  return looksLikeError(error)
    ? text(textField(error, 'message') ?? '', mostText)
    : text(preview(error), mostText)
}

class Describer {
  readonly #above = new Set<unknown>()
  #left = mostInAll

  describe(error: unknown): ErrorDescription {
    this.#left -= ofEach
    if (!looksLikeError(error)) return { name: kindOf(error), message: this.#take(preview(error)) }
    if (this.#above.has(error)) {
      return { name: nameOf(error), message: '(an error that is its own cause)' }
    }
    if (this.#above.size >= deepest || this.#left <= 0) {
      return { name: nameOf(error), message: '(left out: there are too many behind each other)' }
    }
    this.#above.add(error)
    const message = field(error, 'message')
    const code = field(error, 'code')
    const hint = textField(error, 'hint')
    const stack = textField(error, 'stack')
    const cause = field(error, 'cause')
    const errors = field(error, 'errors')
    const description: ErrorDescription = {
      name: nameOf(error),
      message: this.#take(typeof message === 'string' ? message : preview(message)),
      ...(typeof code === 'string' || typeof code === 'number'
        ? { code: text(String(code), mostShort) }
        : {}),
      ...(hint === undefined ? {} : { hint: this.#take(hint) }),
      ...(stack === undefined ? {} : { stack: this.#take(stack) }),
      ...(cause === undefined ? {} : { cause: this.describe(cause) }),
      ...(isArray(errors) ? { errors: this.#describeSome(errors) } : {}),
    }
    this.#above.delete(error)
    return description
  }

  #describeSome(errors: unknown): ErrorDescription[] {
    const given = field(errors, 'length')
    const length = typeof given === 'number' ? given : 0
    const described: ErrorDescription[] = []
    for (let index = 0; index < Math.min(length, mostErrors) && this.#left > 0; index++) {
      described.push(this.describe(field(errors, index)))
    }
    const more = length - described.length
    return more > 0 ? [...described, { name: 'Error', message: `(and ${more} more)` }] : described
  }

  #take(given: string): string {
    const taken = text(given, Math.max(0, Math.min(mostText, this.#left)))
    this.#left -= taken.length
    return taken
  }
}

function nameOf(error: unknown): string {
  return text(textField(error, 'name') ?? 'Error', mostShort)
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value
}

function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value)
  } catch {
    // A proxy that was revoked.
    return false
  }
}

function text(given: string, most: number): string {
  return storableText(given, most)
}
