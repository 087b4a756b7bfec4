import type { Books as Known } from '../ledger/publishers.ts'
import type { Books, Check, Violation } from './violation.ts'

/** What holds at any moment: it is decided in the transactions of publishers. */
export const moneyAlways: readonly Check[] = [
  {
    promise: 'money is conserved',
    finds: `SELECT sum(cents) AS cents FROM accounts HAVING sum(cents) <> 0`,
  },
  {
    promise: 'an account holds what was transferred to it',
    finds: `SELECT a.id, a.cents, coalesce(t.cents, 0) AS transferred FROM accounts a LEFT JOIN (
        SELECT id, sum(cents) AS cents FROM (
          SELECT sender AS id, -cents AS cents FROM transfers UNION ALL SELECT receiver, cents FROM transfers) AS b
        GROUP BY 1) AS t USING (id)
      WHERE a.cents <> coalesce(t.cents, 0)`,
  },
  {
    promise: 'a transfer and its event commit together',
    finds: `SELECT t.op AS transfer, e.op AS event FROM (SELECT op, cents FROM transfers) AS t
      FULL JOIN (SELECT payload ->> 'op' AS op, (payload ->> 'cents')::bigint AS cents FROM tidemark.events
        WHERE type = 'ledger.moved' AND payload ->> 'op' LIKE 'op-%') AS e USING (op)
      WHERE t.cents IS DISTINCT FROM e.cents`,
  },
  {
    promise: 'an operation has one event, and one with an idempotency key no second',
    finds: `SELECT payload ->> 'op' AS op, count(*) AS events FROM tidemark.events
      WHERE type = 'ledger.moved' GROUP BY 1 HAVING count(*) > 1`,
  },
  {
    promise: 'what was rolled back to a savepoint is not seen',
    finds: `SELECT payload ->> 'op' AS op FROM tidemark.events WHERE payload ->> 'op' LIKE '%-undone'`,
  },
  {
    promise: 'the versions of a stream are 1, 2, 3 in the order of the sequences',
    finds: `SELECT stream, sequence, stream_version, nth FROM (
        SELECT stream, sequence, stream_version, row_number() OVER (PARTITION BY stream ORDER BY sequence) AS nth
        FROM tidemark.events WHERE stream IS NOT NULL) AS s
      WHERE stream_version <> nth`,
  },
  {
    promise: 'a decision holds when it commits: no purse ever holds less than nothing',
    finds: `SELECT stream, stream_version, held FROM (
        SELECT stream, stream_version, sum((payload ->> 'cents')::bigint) OVER (PARTITION BY stream ORDER BY stream_version) AS held
        FROM tidemark.events WHERE type = 'ledger.booked') AS p
      WHERE held < 0`,
  },
]

/** Compares what publishers were told with what is there. */
export async function compareWithBooks(
  books: Books,
  { done, undone }: Known,
): Promise<Violation[]> {
  const { rows } = await books.query(
    `SELECT DISTINCT payload ->> 'op' AS op FROM tidemark.events WHERE payload ? 'op'`,
  )
  const there = new Set((rows as { op: string }[]).map(({ op }) => op.replace(/^key-/u, '')))
  const missing = [...done].filter((op) => !there.has(op))
  const seen = [...undone].filter((op) => there.has(op))
  return [
    ...(missing.length === 0
      ? []
      : [{ promise: 'what has committed is there', evidence: missing.slice(0, 5) }]),
    ...(seen.length === 0
      ? []
      : [{ promise: 'what was rolled back is not seen', evidence: seen.slice(0, 5) }]),
  ]
}
