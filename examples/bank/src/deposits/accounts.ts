import { sql } from 'kysely'
import { defineProjection, type Db } from 'tidemark'
import { BankError } from '../bank-error.ts'
import { accountOpened, deposited, withdrawn } from './events.ts'

/**
 * The balances that commands decide on. Inline: it is written in the transaction that publishes the entry, so
 * nobody ever reads an old balance, and an entry for an account that does not exist is refused.
 */
export const accounts = defineProjection('deposits.accounts', {
  version: 1,
  mode: 'inline',
  tables: ['accounts'],
})
  .on(accountOpened, async ({ payload, streamVersion }, { db }) => {
    await db
      .insertInto('accounts')
      .values({
        id: payload.accountId,
        customer_id: payload.customerId,
        balance: 0n,
        version: streamVersion ?? 0n,
      })
      .execute()
  })
  .on(deposited, ({ payload, streamVersion }, { db }) =>
    book(db, payload.accountId, payload.amount, streamVersion),
  )
  .on(withdrawn, ({ payload, streamVersion }, { db }) =>
    book(db, payload.accountId, -payload.amount, streamVersion),
  )

async function book(
  db: Db,
  accountId: string,
  amount: bigint,
  version: bigint | null,
): Promise<void> {
  const { numUpdatedRows } = await db
    .updateTable('accounts')
    .set({ balance: sql`balance + ${amount}`, version: version ?? 0n })
    .where('id', '=', accountId)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows === 0n) throw new BankError(`there is no account ${accountId}`)
}
