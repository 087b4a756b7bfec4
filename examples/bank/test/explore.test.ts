import { createHash } from 'node:crypto'
import { explore, type Scenario } from '@tidemark/testing'
import { defineApp, silentLogger } from 'tidemark'
import { afterEach, expect, test, vi } from 'vitest'
import { registerCustomer } from '../src/customers/index.ts'
import { makeTables, tablesSql } from '../src/migrate.ts'
import { modules } from '../src/modules.ts'
import { mailServer } from '../src/notifications/mail-server.ts'

// Each telling has a database of its own: this one is not connected to.
const bank = defineApp({ modules, connectionString: 'postgres://nowhere', logger: silentLogger })

const template = {
  key: createHash('sha256').update(tablesSql).digest('hex'),
  async prepare(connectionString: string): Promise<void> {
    await using tidemark = defineApp({ modules, connectionString })
    await makeTables(tidemark)
  },
}

/** A customer is registered: an account, a welcome letter, and its delivery. */
function registration(delivered: () => number, forget: () => void): Scenario {
  return {
    template,
    before: forget,
    when: (tidemark) =>
      registerCustomer(tidemark, {
        customerId: 'ada',
        name: { given: 'Ada', family: 'Archer' },
        email: 'ada@example.com',
      }),
    invariant: async (tidemark) => {
      const letters = await tidemark.db.selectFrom('letters').select('id').execute()
      const accounts = await tidemark.db.selectFrom('accounts').select('id').execute()
      expect({ letters: letters.length, accounts: accounts.length, mails: delivered() }).toEqual({
        letters: 1,
        accounts: 1,
        mails: 1,
      })
    },
  }
}

// As long as one likes: EXPLORE_SECONDS=600.
const budget = Number(process.env['EXPLORE_SECONDS'] ?? 3) * 1000

afterEach(() => vi.restoreAllMocks())

test(
  'a customer has one account, one letter and one mail, wherever the worker dies',
  async () => {
    const { sent } = mailServer
    const scenario = registration(
      () => sent.size,
      () => sent.clear(),
    )
    const { statements, tried } = await explore(bank, scenario, { seed: 1, budget })
    expect(statements).toBeGreaterThan(10)
    expect(tried).toBeGreaterThan(0)
  },
  budget + 60_000,
)

test('a mail server that takes each mail for a new one is found out, and the report says how', async () => {
  let mails = 0
  vi.spyOn(mailServer, 'send').mockImplementation(async () => {
    mails += 1
  })
  const scenario = registration(
    () => mails,
    () => (mails = 0),
  )
  const found = await explore(bank, scenario, { seed: 4, budget: 60_000 }).then(
    () => undefined,
    (error: unknown) => error as Error & { readonly code: string },
  )
  expect(found?.code).toBe('TIDEMARK_TESTING_INVARIANT')
  expect(found?.message).toMatch(/1\. the process dies (?:before|after)|1\. it loses/u)
  expect(found?.message).toContain('schedule: [')
}, 120_000)
