import { expect, test } from 'vitest'
import { checkBooks } from '../src/books.ts'
import { registerCustomer } from '../src/customers/index.ts'
import { dashboard } from '../src/dashboard/index.ts'
import { statements } from '../src/deposits/index.ts'
import { playScenario } from '../src/scenario.ts'
import { settled } from '../src/settled.ts'
import { useBank } from './support.ts'

const bank = useBank()

test('the books balance after a busy day, and again after a replay', async () => {
  const { tidemark } = bank
  const outcome = await playScenario(tidemark, 45, () => {})
  expect(outcome).toMatchObject({ customers: 45, paymentsBooked: 45, paymentsKnown: 45 })
  expect(outcome.decisions).toBeGreaterThan(0)
  expect(outcome.lateDecisions).toBe(outcome.decisions)
  const before = await tidemark.read(dashboard)
  expect(before.active).toBeGreaterThan(0)
  expect(await differences()).toEqual([])

  await tidemark.reset(dashboard)
  await tidemark.reset(statements)
  await settled(tidemark)
  expect(await tidemark.read(dashboard)).toEqual(before)
  expect(await differences()).toEqual([])
})

test('a wrong balance does not escape the check', async () => {
  const { tidemark } = bank
  await registerCustomer(tidemark, {
    customerId: 'poor',
    name: { given: 'Ida', family: 'Mason' },
    email: 'ida@example.com',
  })
  await settled(tidemark)
  await tidemark.db.updateTable('accounts').set({ balance: 1n }).where('id', '=', 'poor').execute()
  expect(await differences()).toEqual(['account balances'])
})

async function differences(): Promise<string[]> {
  const checks = await checkBooks(bank.tidemark)
  return checks.filter(({ expected, actual }) => actual !== expected).map(({ what }) => what)
}
