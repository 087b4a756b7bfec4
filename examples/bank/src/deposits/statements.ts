import { sql } from 'kysely'
import { defineProjection, type Db, type RecordedEvent } from 'tidemark'
import { deposited, withdrawn } from './events.ts'

/** What came in and went out of each account, by month: a table that only this projection writes. */
export const statements = defineProjection('deposits.statements', {
  version: 1,
  tables: ['statements'],
})
  .on(deposited, (event, { db }) => enter(db, event, event.payload.amount, 0n))
  .on(withdrawn, (event, { db }) => enter(db, event, 0n, event.payload.amount))

async function enter(
  db: Db,
  event: RecordedEvent<string, { readonly accountId: string }>,
  paidIn: bigint,
  paidOut: bigint,
): Promise<void> {
  await db
    .insertInto('statements')
    .values({
      account_id: event.payload.accountId,
      // Only from the event: a replay must come to the same month, whenever it runs.
      month: event.recordedAt.toISOString().slice(0, 7),
      entries: 1,
      paid_in: paidIn,
      paid_out: paidOut,
    })
    .onConflict((conflict) =>
      conflict.columns(['account_id', 'month']).doUpdateSet({
        entries: sql`statements.entries + 1`,
        paid_in: sql`statements.paid_in + excluded.paid_in`,
        paid_out: sql`statements.paid_out + excluded.paid_out`,
      }),
    )
    .execute()
}
