import type { App, Executor } from 'tidemark'

/** A figure that is as it must be, or is not. */
export interface Check {
  readonly what: string
  readonly expected: string
  readonly actual: string
}

/** Both services. */
export interface Services {
  readonly bank: App
  readonly ledger: App
}

/** What the bank had before the first transfer, in cents. */
const opening = 10n * 100_000_000n

const inBank = `SELECT
  (SELECT transfers FROM sent) AS sent,
  (SELECT sum(balance) FROM accounts) AS money,
  (SELECT count(*) FROM refunds) AS refunds,
  (SELECT count(DISTINCT transfer) FROM refunds) AS refunded`

const inLedger = `SELECT
  (SELECT sum(balance) FROM payees) AS money,
  (SELECT count(*) FROM bookings) AS bookings,
  (SELECT count(DISTINCT transfer) FROM bookings) AS booked,
  (SELECT count(*) FROM bookings WHERE refused) AS refused,
  (SELECT count(*) FROM (
     SELECT transfer < lag(transfer) OVER (PARTITION BY account ORDER BY id) AS late FROM bookings
   ) AS each WHERE late) AS late`

/**
 * Whether everything that one service has sent was handled by the other.
 *
 * @param transfers - how many there are to be.
 */
export async function handled({ bank, ledger }: Services, transfers: number): Promise<boolean> {
  const [a, b] = await Promise.all([figures(bank, inBank), figures(ledger, inLedger)])
  return Number(b['bookings']) >= transfers && a['refunds'] === b['refused']
}

/** Compares both services with each other, and each stream with the outbox that it comes from. */
export async function checkBooks({ bank, ledger }: Services, transfers: number): Promise<Check[]> {
  const [a, b] = await Promise.all([figures(bank, inBank), figures(ledger, inLedger)])
  const money = BigInt(a['money'] ?? 0) + BigInt(b['money'] ?? 0)
  const streams = await Promise.all([
    bank.relays.verify('to-ledger'),
    ledger.relays.verify('to-bank'),
  ])
  const check = (what: string, expected: unknown, actual: unknown): Check => ({
    what,
    expected: String(expected),
    actual: String(actual),
  })
  return [
    check('money in both services, in cents', opening, money),
    check('transfers sent', transfers, a['sent']),
    check('bookings', transfers, b['bookings']),
    check('transfers that were booked', transfers, b['booked']),
    check('transfers refused', Math.floor(transfers / 7), b['refused']),
    check('refunds', b['refused'], a['refunds']),
    check('transfers that were refunded', b['refused'], a['refunded']),
    check('bookings after a later one of the same account', 0, b['late']),
    check('messages in BANK', transfers, streams[0].messages),
    check('messages in LEDGER', b['refused'], streams[1].messages),
    ...streams.map(({ stream, difference }) =>
      check(`differences between ${stream} and its outbox`, 'none', difference?.what ?? 'none'),
    ),
  ]
}

async function figures(app: App, sql: string): Promise<Record<string, string>> {
  const { result } = await app.transaction((tx: Executor) => tx.query(sql))
  const entries = Object.entries(result.rows[0] ?? {})
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]))
}
