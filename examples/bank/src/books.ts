import { sql } from 'kysely'
import type { App } from 'tidemark'
import { dashboard } from './dashboard/index.ts'

/** One figure, as two places have it. */
export interface Check {
  readonly what: string
  readonly unit: 'cents' | 'count'
  readonly expected: bigint
  readonly actual: bigint
}

/**
 * Counts the money in the outbox, with plain SQL, and compares it with what the projections and listeners made of
 * the same events.
 */
export async function checkBooks(tidemark: App): Promise<readonly Check[]> {
  const outbox = await countOutbox(tidemark)
  const { paidIn, paidOut, balance, loans, letters } = await countTables(tidemark)
  const { active, pending, declined, disbursed } = await tidemark.read(dashboard)
  const cents = (what: string, expected: bigint, actual: bigint): Check => {
    return { what, unit: 'cents', expected, actual }
  }
  const count = (what: string, expected: bigint, actual: bigint): Check => {
    return { what, unit: 'count', expected, actual }
  }
  return [
    cents('account balances', outbox.paidIn - outbox.paidOut, balance),
    cents('paid in, on statements', outbox.paidIn, paidIn),
    cents('paid out, on statements', outbox.paidOut, paidOut),
    cents('disbursed, on the dashboard', outbox.activated, disbursed),
    cents('disbursed, on accounts', outbox.activated, outbox.disbursals),
    cents('lent, in the credit module', outbox.activated, loans),
    count('proposals on the dashboard', outbox.proposals, BigInt(active + pending + declined)),
    count('letters, one for each event', outbox.worthALetter, letters),
  ]
}

async function countOutbox(tidemark: App) {
  const amount = "(payload->>'amount')::bigint"
  const { result } = await tidemark.transaction((tx) =>
    tx.query(`
      SELECT coalesce(sum(${amount}) FILTER (WHERE type = 'deposits.deposited'), 0) AS paid_in,
             coalesce(sum(${amount}) FILTER (WHERE type = 'deposits.withdrawn'), 0) AS paid_out,
             coalesce(sum(${amount}) FILTER (WHERE type = 'credit.facility_activated'), 0) AS activated,
             coalesce(sum(${amount}) FILTER (WHERE payload->>'kind' = 'disbursal'), 0) AS disbursals,
             count(*) FILTER (WHERE type = 'credit.proposal_submitted') AS proposals,
             count(*) FILTER (WHERE type IN ('customers.registered', 'credit.facility_activated',
                                             'credit.proposal_declined')) AS worth_a_letter
      FROM tidemark.events`),
  )
  const row = result.rows[0] as Record<string, string>
  const figure = (name: string): bigint => BigInt(row[name] ?? 0)
  return {
    paidIn: figure('paid_in'),
    paidOut: figure('paid_out'),
    activated: figure('activated'),
    disbursals: figure('disbursals'),
    proposals: figure('proposals'),
    worthALetter: figure('worth_a_letter'),
  }
}

async function countTables({ db }: App) {
  const { balance } = await db
    .selectFrom('accounts')
    .select(sql<string>`coalesce(sum(balance), 0)`.as('balance'))
    .executeTakeFirstOrThrow()
  const statements = await db
    .selectFrom('statements')
    .select([
      sql<string>`coalesce(sum(paid_in), 0)`.as('paidIn'),
      sql<string>`coalesce(sum(paid_out), 0)`.as('paidOut'),
    ])
    .executeTakeFirstOrThrow()
  const { loans } = await db
    .selectFrom('facilities')
    .select(sql<string>`coalesce(sum(amount), 0)`.as('loans'))
    .where('status', '=', 'active')
    .executeTakeFirstOrThrow()
  const { letters } = await db
    .selectFrom('letters')
    .select(sql<string>`count(*)`.as('letters'))
    .executeTakeFirstOrThrow()
  return {
    balance: BigInt(balance),
    paidIn: BigInt(statements.paidIn),
    paidOut: BigInt(statements.paidOut),
    loans: BigInt(loans),
    letters: BigInt(letters),
  }
}
