import { waitForIdle } from '@tidemark/testing'
import { describe, expect, test } from 'vitest'
import { importCustomers, registerCustomer } from '../src/customers/index.ts'
import { bookkeeping } from '../src/deposits/index.ts'
import { letters } from '../src/notifications/index.ts'
import { useBank } from './support.ts'

const bank = useBank()

const ada = {
  customerId: 'ada',
  name: { given: 'Ada', family: 'Archer' },
  email: 'ada@example.com',
}

describe('a new customer', () => {
  test('gets an account and a letter', async () => {
    const { tidemark } = bank
    const { sequence } = await registerCustomer(tidemark, ada)
    await tidemark.waitFor(bookkeeping, sequence)
    await tidemark.waitFor(letters, sequence)

    const accounts = await tidemark.db.selectFrom('accounts').selectAll().execute()
    expect(accounts).toEqual([{ id: 'ada', customer_id: 'ada', balance: '0', version: '1' }])
    const written = await tidemark.db.selectFrom('letters').select(['email', 'body']).execute()
    expect(written).toEqual([{ email: 'ada@example.com', body: 'Dear Ada, Your account is open.' }])
  })

  test('is not registered twice: neither a row nor an event is left of the attempt', async () => {
    const { tidemark, database } = bank
    const twin = { ...ada, customerId: 'twin' }
    await registerCustomer(tidemark, twin)
    await expect(registerCustomer(tidemark, twin)).rejects.toThrow('duplicate key')

    const { rows } = await database.query(
      "SELECT stream_version FROM tidemark.events WHERE stream = 'customer-twin'",
    )
    expect(rows).toEqual([{ stream_version: '1' }])
    await waitForIdle(tidemark)
  })
})

test('a customer of the old system is read as the present version of the event', async () => {
  const { tidemark, database } = bank
  await importCustomers(tidemark, [
    { id: 'old', name: 'Grace Brewster Hopper', email: 'grace@example.com' },
  ])
  const { rows } = await database.query<{ version: number; name: string }>(
    "SELECT version, payload->>'name' AS name FROM tidemark.events WHERE stream = 'customer-old'",
  )
  expect(rows).toEqual([{ version: 1, name: 'Grace Brewster Hopper' }])

  await waitForIdle(tidemark)
  const letter = await tidemark.db
    .selectFrom('letters')
    .select('body')
    .where('customer_id', '=', 'old')
    .executeTakeFirstOrThrow()
  expect(letter.body).toBe('Dear Grace, Your account is open.')
})
