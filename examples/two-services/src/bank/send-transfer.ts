import type { App } from 'tidemark'
import { transferSent } from './events.ts'

const accounts = 10
const payees = 6

/**
 * Sends the next transfer: the balance and the event commit together. What it is follows from its number, so that
 * each run tells the same story; every seventh payee is not one.
 *
 * @param limit - how many transfers there are to be.
 * @returns whether there was one to send.
 */
export async function sendNextTransfer(bank: App, limit: number): Promise<boolean> {
  const { result } = await bank.transaction(async (tx) => {
    const { rows } = await tx.query(
      'UPDATE sent SET transfers = transfers + 1 WHERE transfers < $1::integer RETURNING transfers',
      [limit],
    )
    if (rows[0] === undefined) return false
    const transfer = rows[0]['transfers'] as number
    const account = `A-${transfer % accounts}`
    const payee = transfer % 7 === 0 ? 'nobody' : `P-${transfer % payees}`
    const amount = BigInt(1 + ((transfer * 37) % 5000))
    await tx.query('UPDATE accounts SET balance = balance - $2::bigint WHERE id = $1::text', [
      account,
      amount,
    ])
    tx.publish(transferSent({ transfer, account, payee, amount }), { key: account })
    return true
  })
  return result
}
