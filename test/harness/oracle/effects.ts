import type { Check } from './violation.ts'

// Those that handle again what was set aside do so after later events, of the same key or of others.
const inOrder = `listener IN ('effects', 'skipping', 'halting', 'forwarding', 'spawning', 'second')`
const inOrderByKey = `listener IN ('keyed', 'parking-keys')`

/** What holds at any moment. */
export const effectsAlways: readonly Check[] = [
  {
    promise: 'every event takes effect once',
    finds: `SELECT listener, sequence, count(*) AS times FROM effects GROUP BY 1, 2 HAVING count(*) > 1`,
  },
  {
    promise: 'events take effect in the order of their sequences',
    finds: `SELECT * FROM (
        SELECT listener, sequence, lag(sequence) OVER (PARTITION BY listener ORDER BY id) AS before
        FROM effects WHERE ${inOrder}) AS o
      WHERE sequence < before`,
  },
  {
    promise: 'events of a key take effect in the order of their sequences',
    finds: `SELECT * FROM (
        SELECT listener, key, sequence, lag(sequence) OVER (PARTITION BY listener, key ORDER BY id) AS before
        FROM effects WHERE ${inOrderByKey} AND key IS NOT NULL) AS o
      WHERE sequence < before`,
  },
  {
    promise: 'an effect and the cursor that is past its event commit together',
    finds: `SELECT * FROM (SELECT l.name AS listener, (SELECT max(sequence) FROM effects e WHERE e.listener = l.name) AS effect,
          (SELECT max(cursor) FROM tidemark.cursors c WHERE c.listener = l.name AND c.generation = l.generation) AS cursor
        FROM tidemark.listeners l) AS f
      WHERE effect > cursor`,
  },
  {
    promise: 'an attempt at an event is counted',
    finds: `SELECT listener, partition, failed_sequence, attempts, last_error FROM tidemark.cursors
      WHERE last_error::text ~ 'it is not healed|bad luck' AND attempts = 0`,
  },
  {
    promise: 'no event commits below a horizon that was read',
    finds: `SELECT horizon, late, late_xid FROM tidemark.horizon_samples WHERE late IS NOT NULL
      UNION ALL SELECT horizon, late, late_xid FROM second.horizon_samples WHERE late IS NOT NULL`,
  },
]

/** What holds when everything is handled, for the listeners with these names. */
export function effectsAtRest(listeners: readonly string[]): readonly Check[] {
  const names = listeners.map((name) => `'${name}'`).join(', ')
  return [
    {
      promise: 'no committed event is skipped',
      finds: `SELECT l.name AS listener, e.sequence, e.payload ->> 'op' AS op, e.payload ->> 'kind' AS kind
        FROM tidemark.events e CROSS JOIN unnest(ARRAY[${names}]) AS l (name)
        WHERE e.type = 'ledger.moved'
          AND NOT EXISTS (SELECT FROM effects f WHERE f.listener = l.name AND f.sequence = e.sequence)
          AND NOT EXISTS (SELECT FROM tidemark.dead_letters d
            WHERE d.listener = l.name AND d.sequence = e.sequence AND d.state = 'skipped'
              AND l.name = 'skipping' AND e.payload ->> 'kind' = 'poison')
        ORDER BY e.sequence`,
    },
    {
      promise: 'nothing takes effect that was not published',
      finds: `SELECT f.listener, f.sequence FROM effects f
        WHERE f.listener <> 'second' AND NOT EXISTS (
          SELECT FROM tidemark.events e WHERE e.sequence = f.sequence AND e.type = 'ledger.moved')`,
    },
    {
      promise: 'what a policy has skipped takes no effect',
      finds: `SELECT d.listener, d.sequence FROM tidemark.dead_letters d JOIN effects f USING (listener, sequence)
        WHERE d.state = 'skipped'`,
    },
    {
      promise: 'dead letters that were retried are gone',
      finds: `SELECT listener, sequence, state FROM tidemark.dead_letters WHERE state <> 'skipped'`,
    },
    {
      promise: 'a handler publishes once for each event',
      finds: `SELECT e.sequence, count(r.sequence) AS receipts FROM tidemark.events e
        LEFT JOIN tidemark.events r ON r.type = 'ledger.receipt' AND (r.payload ->> 'of')::bigint = e.sequence
        WHERE e.type = 'ledger.moved' GROUP BY 1 HAVING count(r.sequence) <> 1`,
    },
    {
      promise: 'the other install has handled each of its events, pruned ones included',
      finds: `SELECT * FROM (SELECT
          (SELECT count(*) FROM effects WHERE listener = 'second') AS effects,
          (SELECT count(*) FROM second.events)
            + (SELECT coalesce(sum(events), 0) FROM second.pruned_partitions) AS events) AS c
        WHERE effects <> events`,
    },
  ]
}
