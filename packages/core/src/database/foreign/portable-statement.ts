import type { Row } from '../executor.ts'
import { isWhole, storedNumber } from '../json-text.ts'
import type { Statement } from '../statement.ts'

/** A statement of Tidemark's that any driver can run: all parameters are texts, and it answers a column `row` of them. */
export interface PortableStatement {
  readonly text: string
  /** Whether it answers a number of rows only. */
  readonly counts: boolean
}

const known = new WeakMap<Statement, PortableStatement>()

/**
 * The statement with its rows as JSON objects. What JSON lacks comes as a text: a point in time, for instance.
 *
 * INVARIANT: every parameter of a hot statement is cast where it stands, and its rows come from a SELECT or RETURNING.
 */
export function throughJson(statement: Statement): PortableStatement {
  let portable = known.get(statement)
  if (portable === undefined) {
    const text = withTextParameters(statement.text)
    const counts = !/^\s*(?:SELECT|WITH)\b/iu.test(text) && !/\bRETURNING\b/iu.test(text)
    portable = {
      counts,
      text: counts
        ? `WITH answer AS (${text}\nRETURNING 1) SELECT count(*)::text AS row FROM answer`
        : `WITH answer AS (${text}) SELECT row_to_json(answer)::text AS row FROM answer`,
    }
    known.set(statement, portable)
  }
  return portable
}

/** The statement with its rows as JSON arrays of the texts of their columns. */
export function throughTexts(statement: Statement): string {
  return `WITH answer AS (${withTextParameters(statement.text)})
SELECT array_to_json(ARRAY(
  SELECT c.value FROM json_each_text(row_to_json(answer)) WITH ORDINALITY AS c (key, value, place) ORDER BY c.place
))::text AS row FROM answer`
}

/**
 * Drivers ask the server for the types of parameters and encode by them: a JSON text as a JSON string, for instance. A list
 * comes as a JSON text: what NULL is in one of Postgres' own depends on a setting of the session (`array_nulls`).
 */
function withTextParameters(text: string): string {
  return text
    .replaceAll(
      /(?<parameter>\$\d+)::(?<element>\w+)\[\]/gu,
      `CASE WHEN $<parameter>::text IS NOT NULL THEN ARRAY(
        SELECT e.value::$<element> FROM json_array_elements_text($<parameter>::text::json) WITH ORDINALITY AS e (value, place)
        ORDER BY e.place) END`,
    )
    .replaceAll(/\$\d+(?=::(?!text\b))/gu, '$&::text')
}

type Reviver = (this: object, key: string, value: unknown, context: { source?: string }) => unknown

/**
 * A row of {@link throughJson}; whole numbers that JavaScript's cannot hold come as texts, as drivers give them, and as
 * `parseStoredJson` has them where they are within a value.
 */
export function rowFromJson(json: string): Row {
  const exact = new Map<object, Record<string, string>>()
  const note: Reviver = function note(key, value, { source }) {
    if (typeof value === 'number' && !Number.isSafeInteger(value) && isWhole(source)) {
      exact.set(this, { ...exact.get(this), [key]: source })
      return storedNumber(value, source)
    }
    return value
  }
  // Reviving costs more than parsing: only where there is a number so long.
  if (!/\d{16}/u.test(json)) return JSON.parse(json) as Row
  const row = JSON.parse(json, note as Parameters<typeof JSON.parse>[1]) as Row
  return { ...row, ...exact.get(row) }
}
