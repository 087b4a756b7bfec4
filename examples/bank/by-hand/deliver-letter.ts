import { setTimeout as delay } from 'node:timers/promises'
import { mailServer, type Mail } from '../src/notifications/mail-server.ts'
import { repeat, transaction, type Pool } from './outbox.ts'

const attempts = 10
const timeout = 30_000

/**
 * Sends letters until the signal aborts. A delivery is locked while it is sent, which keeps a connection and a
 * transaction open for as long; when the process dies, the server lets go of the lock.
 */
export async function runDeliveries(pool: Pool, signal: AbortSignal): Promise<void> {
  await repeat('deliveries', signal, () =>
    transaction(pool, async (client) => {
      const { rows } = await client.query<Mail & { readonly letter: string }>(
        `SELECT letter, email AS to, subject, body
         FROM deliveries JOIN letters ON letters.id = letter
         WHERE attempts < $1 AND due_at <= now()
         ORDER BY due_at LIMIT 1 FOR UPDATE OF deliveries SKIP LOCKED`,
        [attempts],
      )
      const [delivery] = rows
      if (delivery === undefined) return false
      const { letter, ...mail } = delivery
      try {
        await inTime(mailServer.send(letter, mail))
        await client.query('DELETE FROM deliveries WHERE letter = $1', [letter])
      } catch (error) {
        console.error(`letter ${letter} is sent again`, error)
        await client.query(
          `UPDATE deliveries SET attempts = attempts + 1,
             due_at = now() + least(power(2, attempts), 3600) * interval '1 second'
           WHERE letter = $1`,
          [letter],
        )
      }
      return true
    }),
  )
}

async function inTime(sending: Promise<void>): Promise<void> {
  const sent = new AbortController()
  const late = delay(timeout, undefined, { signal: sent.signal }).then(() => {
    throw new Error(`not sent within ${timeout} ms`)
  })
  try {
    await Promise.race([sending, late])
  } finally {
    late.catch(() => undefined)
    sent.abort()
  }
}
