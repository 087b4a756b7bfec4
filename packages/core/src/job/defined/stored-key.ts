import { preview } from '../../errors/foreign-value.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

const longest = 500

/**
 * Checks what a job names its steps, waits and variables by.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION unless it is a text of 1 to 500 characters that Postgres can store.
 */
export function requireKey(job: string, what: string, key: unknown): void {
  const problem =
    typeof key !== 'string'
      ? `is ${preview(key)}, not a text`
      : key === ''
        ? 'is empty'
        : key.length > longest
          ? `has ${key.length} characters, more than ${longest}`
          : key.includes('\0')
            ? 'contains a NUL character'
            : key.isWellFormed()
              ? undefined
              : 'contains half of a surrogate pair'
  if (problem === undefined) return
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${job}: ${what} ${problem}`, {
    details: {
      job,
      key: typeof key === 'string' ? key.slice(0, longest).toWellFormed() : preview(key),
    },
  })
}
