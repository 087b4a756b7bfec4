import { advance, waitForIdle } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { submitProposal } from '../src/credit/index.ts'
import { registerCustomer } from '../src/customers/index.ts'
import { letters } from '../src/notifications/index.ts'
import { useBank } from './support.ts'

const bank = useBank()

async function register(customerId: string): Promise<void> {
  const name = { given: 'Hugo', family: 'Mason' }
  const email = `${customerId}@example.com`
  await registerCustomer(bank.tidemark, { customerId, name, email })
}

async function borrow(customerId: string): Promise<void> {
  await submitProposal(bank.tidemark, {
    facilityId: `loan-of-${customerId}`,
    customerId,
    amount: 1_000_00n,
    monthlyIncome: 2_000_00n,
  })
}

async function loanLetters(): Promise<string[]> {
  const rows = await bank.tidemark.db
    .selectFrom('letters')
    .select('customer_id')
    .where('subject', '=', 'Your loan')
    .orderBy('customer_id')
    .execute()
  return rows.map((row) => row.customer_id)
}

test('a letter without an address is set aside, keeps nobody waiting, and can be written later', async () => {
  const { tidemark } = bank
  await register('lost')
  await register('found')
  await waitForIdle(tidemark)
  const address = { customer_id: 'lost', given_name: 'Hugo', email: 'lost@example.com' }
  await tidemark.db.deleteFrom('recipients').where('customer_id', '=', 'lost').execute()

  await borrow('lost')
  await borrow('found')
  await waitForIdle(tidemark)
  expect(await loanLetters()).toEqual(['found'])
  const parked = await tidemark.deadLetters.list({ listener: letters.name })
  expect(parked).toMatchObject([
    { type: 'credit.facility_activated', state: 'parked', error: { cause: { name: 'BankError' } } },
  ])

  await tidemark.db.insertInto('recipients').values(address).execute()
  await tidemark.deadLetters.retry({ listener: letters.name })
  await waitForIdle(tidemark)
  expect(await loanLetters()).toEqual(['found', 'lost'])
})

test('a letter that cannot be written now is written when its next attempt is due', async () => {
  const { tidemark, database } = bank
  await database.query('alter table letters rename to letters_elsewhere')
  await register('early')
  await expect
    .poll(async () => (await tidemark.listeners.get(letters.name)).partitions[0]?.nextAttemptAt, {
      timeout: 15_000,
    })
    .toBeInstanceOf(Date)
  await database.query('alter table letters_elsewhere rename to letters')
  await advance(tidemark, '1h')
  await waitForIdle(tidemark)
  const { rows } = await database.query(`select subject from letters where customer_id = 'early'`)
  expect(rows).toEqual([{ subject: 'Welcome' }])
})
