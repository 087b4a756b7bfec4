import { waitForIdle } from '@tidemark/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { registerCustomer } from '../src/customers/index.ts'
import {
  accountOf,
  bookkeeping,
  deposited,
  importPayments,
  statements,
  withdraw,
} from '../src/deposits/index.ts'
import { useBank } from './support.ts'

const bank = useBank()
let accountId = ''
let customers = 0

beforeEach(async () => {
  const customerId = `customer-${++customers}`
  const { sequence } = await registerCustomer(bank.tidemark, {
    customerId,
    name: { given: 'Dan', family: 'Dyer' },
    email: `${customerId}@example.com`,
  })
  await bank.tidemark.waitFor(bookkeeping, sequence)
  accountId = accountOf(customerId)
})

async function balance(): Promise<string | undefined> {
  const account = await bank.tidemark.db
    .selectFrom('accounts')
    .select('balance')
    .where('id', '=', accountId)
    .executeTakeFirst()
  return account?.balance
}

describe('a withdrawal', () => {
  test('never overdraws the account, however many machines are used at once', async () => {
    await importPayments(bank.tidemark, `cash;${accountId};10000;Cash\n`)
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        withdraw(bank.tidemark, { accountId, amount: 40_00n, text: 'Machine' }),
      ),
    )
    const refused = attempts.filter((attempt) => attempt.status === 'rejected')
    expect(refused).toHaveLength(6)
    for (const { reason } of refused) {
      expect(reason).toMatchObject({
        name: 'BankError',
        message: `${accountId} has not got that much`,
      })
    }
    // Inline: nothing to wait for.
    expect(await balance()).toBe('2000')
    await waitForIdle(bank.tidemark)
  })

  test('from an account that does not exist is refused', async () => {
    await expect(
      withdraw(bank.tidemark, { accountId: 'nobody', amount: 1n, text: 'Machine' }),
    ).rejects.toThrow('there is no account nobody')
  })
})

describe('a payment file', () => {
  test('that is imported twice is booked once', async () => {
    const file = `r-1;${accountId};1000;Rent\nr-2;${accountId};500;Water\n`
    expect(await importPayments(bank.tidemark, file)).toEqual({ booked: 2, known: 0 })
    expect(await importPayments(bank.tidemark, file)).toEqual({ booked: 0, known: 2 })
    expect(await balance()).toBe('1500')
    await waitForIdle(bank.tidemark)
  })

  test('with a line that cannot be read books nothing', async () => {
    const file = `r-3;${accountId};1000;Rent\nr-4;${accountId};-5;Water\n`
    await expect(importPayments(bank.tidemark, file)).rejects.toThrow('line 2 of the payment file')
    expect(await balance()).toBe('0')
  })

  test('for an account that does not exist is refused, and can be imported when it does', async () => {
    const file = 'r-5;late;1000;Rent\n'
    await expect(importPayments(bank.tidemark, file)).rejects.toThrow('there is no account late')

    const { sequence } = await registerCustomer(bank.tidemark, {
      customerId: 'late',
      name: { given: 'Eve', family: 'Fisher' },
      email: 'late@example.com',
    })
    await bank.tidemark.waitFor(bookkeeping, sequence)
    expect(await importPayments(bank.tidemark, file)).toEqual({ booked: 1, known: 0 })
    await waitForIdle(bank.tidemark)
  })
})

test('a deposit can be published in a transaction that somebody else owns', async () => {
  const client = await bank.database.connect()
  const publish = () =>
    bank.tidemark.publish(deposited({ accountId, amount: 7_00n, text: 'Gift', kind: 'payment' }), {
      stream: `account-${accountId}`,
      tx: client,
    })

  await client.query('BEGIN')
  await publish()
  await client.query('ROLLBACK')
  expect(await balance()).toBe('0')

  await client.query('BEGIN')
  const { sequence } = await publish()
  await client.query('COMMIT')
  expect(await balance()).toBe('700')
  await client.end()

  await bank.tidemark.waitFor(statements, sequence)
  const lines = await bank.tidemark.db
    .selectFrom('statements')
    .select(['entries', 'paid_in', 'paid_out'])
    .where('account_id', '=', accountId)
    .execute()
  expect(lines).toEqual([{ entries: 1, paid_in: '700', paid_out: '0' }])
  await waitForIdle(bank.tidemark)
})
