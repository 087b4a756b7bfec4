import { defineListener } from 'tidemark'
import { transferRefused, transferSent } from './events.ts'

/** Books what comes from the bank. Booking, balance and answer commit together. */
export const bookings = defineListener('bookings').on(
  transferSent,
  async ({ payload: { transfer, account, payee, amount } }, { tx, publish }) => {
    const { rowCount } = await tx.query(
      'UPDATE payees SET balance = balance + $2::bigint WHERE id = $1::text',
      [payee, amount],
    )
    const refused = rowCount === 0
    await tx.query(
      `INSERT INTO bookings (transfer, account, amount, refused)
       VALUES ($1::integer, $2::text, $3::bigint, $4::boolean)`,
      [transfer, account, amount, refused],
    )
    if (refused) publish(transferRefused({ transfer, account, amount }), { key: account })
  },
)
