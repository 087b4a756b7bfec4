import type { App } from 'tidemark'
import { BankError } from '../bank-error.ts'
import { retryOnConflict } from '../retry-on-conflict.ts'
import { accountStream } from './account.ts'
import { withdrawn } from './events.ts'

/** Money that leaves an account. The amount in cents. */
export interface Withdrawal {
  readonly accountId: string
  readonly amount: bigint
  readonly text: string
}

/**
 * Takes money from an account. Nothing is locked while it decides: if the account has moved on by then, the
 * expected version is wrong, and it decides again.
 *
 * @throws BankError when there is no such account, or not enough in it.
 */
export function withdraw(tidemark: App, { accountId, amount, text }: Withdrawal) {
  return retryOnConflict(() =>
    tidemark.transaction(async (tx) => {
      const account = await tx.db
        .selectFrom('accounts')
        .select(['balance', 'version'])
        .where('id', '=', accountId)
        .executeTakeFirst()
      if (account === undefined) throw new BankError(`there is no account ${accountId}`)
      if (BigInt(account.balance) < amount)
        throw new BankError(`${accountId} has not got that much`)
      tx.publish(withdrawn({ accountId, amount, text }), {
        stream: accountStream(accountId),
        expectedVersion: BigInt(account.version),
      })
    }),
  )
}
