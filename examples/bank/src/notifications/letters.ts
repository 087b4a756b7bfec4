import { defineListener, type Db, type RecordedEvent, type Spawn } from 'tidemark'
import { BankError } from '../bank-error.ts'
import { facilityActivated, proposalDeclined } from '../credit/events.ts'
import { customerRegistered } from '../customers/events.ts'
import { euros } from '../euros.ts'
import { deliverLetter } from './deliver-letter.ts'

/** Writes letters: one for each event that is worth one, whatever crashes on the way. */
export const letters = defineListener('notifications.letters', {
  // Without an address no second attempt will help, and nobody else's letter should wait for it.
  retry: { retryable: (error) => !(error instanceof BankError) },
  onFailure: 'park',
})
  .on(customerRegistered, async (event, { db, spawn }) => {
    const { customerId, name, email } = event.payload
    await db
      .insertInto('recipients')
      .values({ customer_id: customerId, given_name: name.given, email })
      .execute()
    await write(db, spawn, event, 'Welcome', 'Your account is open.')
  })
  .on(facilityActivated, (event, { db, spawn }) =>
    write(
      db,
      spawn,
      event,
      'Your loan',
      `${euros(event.payload.amount)} are on the way to your account.`,
    ),
  )
  .on(proposalDeclined, (event, { db, spawn }) =>
    write(
      db,
      spawn,
      event,
      'Your proposal',
      `We cannot lend you the money: ${event.payload.reason}.`,
    ),
  )

async function write(
  db: Db,
  spawn: Spawn,
  event: RecordedEvent<string, { readonly customerId: string }>,
  subject: string,
  text: string,
): Promise<void> {
  const { customerId } = event.payload
  const recipient = await db
    .selectFrom('recipients')
    .select(['given_name', 'email'])
    .where('customer_id', '=', customerId)
    .executeTakeFirst()
  if (recipient === undefined) throw new BankError(`there is no address for ${customerId}`)
  await db
    .insertInto('letters')
    .values({
      id: event.id,
      customer_id: customerId,
      email: recipient.email,
      subject,
      body: `Dear ${recipient.given_name}, ${text}`,
    })
    .execute()
  // In the same commit: no letter without its delivery, and no delivery of a letter that was not written.
  await spawn(deliverLetter, { letter: event.id })
}
