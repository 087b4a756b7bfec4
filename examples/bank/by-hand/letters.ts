import { BankError } from '../src/bank-error.ts'
import { euros } from '../src/euros.ts'
import { lockReader, transaction, type Client, type OutboxEvent, type Pool } from './outbox.ts'

export const lettersSql = `
  CREATE TABLE parked_letters (
    event_id uuid PRIMARY KEY,
    error    text NOT NULL
  );
  CREATE TABLE deliveries (
    letter   uuid        PRIMARY KEY,
    attempts integer     NOT NULL DEFAULT 0,
    due_at   timestamptz NOT NULL DEFAULT now()
  );
  INSERT INTO readers VALUES ('letters', 0);`

/** Without an address no second attempt will help, and nobody else's letter should wait for it. */
export async function writeLetter(client: Client, event: OutboxEvent): Promise<void> {
  try {
    await letterFor(client, event)
  } catch (error) {
    if (!(error instanceof BankError)) throw error
    await client.query('INSERT INTO parked_letters VALUES ($1, $2)', [
      event.event_id,
      error.message,
    ])
  }
}

/** Tries those that were set aside once more, before anything new, in their order. */
export async function retryParked(pool: Pool): Promise<void> {
  await transaction(pool, async (client) => {
    await lockReader(client, 'letters')
    const { rows } = await client.query<OutboxEvent>(
      `WITH parked AS (DELETE FROM parked_letters RETURNING event_id)
       SELECT id, event_id, type, payload FROM outbox JOIN parked USING (event_id) ORDER BY id`,
    )
    for (const event of rows) await writeLetter(client, event)
  })
}

async function letterFor(client: Client, event: OutboxEvent): Promise<void> {
  const { customerId, name, email, amount, reason } = event.payload
  switch (event.type) {
    case 'customers.registered':
      await client.query(
        'INSERT INTO recipients (customer_id, given_name, email) VALUES ($1, $2, $3)',
        [customerId, name.given, email],
      )
      await write(client, event, 'Welcome', 'Your account is open.')
      break
    case 'credit.facility_activated':
      await write(
        client,
        event,
        'Your loan',
        `${euros(BigInt(amount))} are on the way to your account.`,
      )
      break
    case 'credit.proposal_declined':
      await write(client, event, 'Your proposal', `We cannot lend you the money: ${reason}.`)
      break
  }
}

async function write(
  client: Client,
  event: OutboxEvent,
  subject: string,
  text: string,
): Promise<void> {
  const { customerId } = event.payload
  const { rows } = await client.query(
    'SELECT given_name, email FROM recipients WHERE customer_id = $1',
    [customerId],
  )
  const recipient = rows[0]
  if (recipient === undefined) throw new BankError(`there is no address for ${customerId}`)
  await client.query(
    'INSERT INTO letters (id, customer_id, email, subject, body) VALUES ($1, $2, $3, $4, $5)',
    [event.event_id, customerId, recipient.email, subject, `Dear ${recipient.given_name}, ${text}`],
  )
  await client.query('INSERT INTO deliveries (letter) VALUES ($1)', [event.event_id])
}
