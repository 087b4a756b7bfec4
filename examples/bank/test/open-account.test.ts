import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { openAccount } from '../src/customers/index.ts'
import { useBank } from './support.ts'

const bank = useBank({ runs: false })
const program = fileURLToPath(new URL('programs/dying-worker.ts', import.meta.url))

const person = (customerId: string) => ({
  customerId,
  name: { given: 'Ida', family: 'Holm' },
  email: `${customerId}@example.com`,
})

const lines = [
  'the account is being opened',
  'the identity is known',
  'the customer is registered',
  'the card is ordered',
]

test('opening an account survives kill -9 between any two of its steps', async () => {
  const { tidemark } = bank
  const handles = []
  for (const [index, line] of lines.entries()) {
    const handle = await tidemark.jobs.spawn(openAccount, person(`ida-${index}`))
    handles.push(handle)
    const worker = fork(program, [bank.database.url, handle.id, line], {
      execArgv: ['--conditions=@tidemark/source'],
    })
    const [, signal] = await once(worker, 'exit')
    expect(signal).toBe('SIGKILL')
    const steps = (await tidemark.jobs.steps(handle.id)).map(({ id }) => id)
    expect(steps).toEqual(['identity', 'register', 'card'].slice(0, index))
  }
  await tidemark.start({ handleSignals: false, leaseDuration: 1_000 })
  for (const [index, handle] of handles.entries()) {
    expect(await handle.result()).toMatchObject({ card: `card of ida-${index}` })
    expect((await tidemark.jobs.attempts(handle.id)).map(({ outcome }) => outcome)).toContain(
      'lost',
    )
  }
  const { rows } = await bank.database.query(
    `select (select count(*) from customers)::int as customers,
       (select count(*) from tidemark.events where type = 'customers.registered')::int as events`,
  )
  expect(rows).toEqual([{ customers: lines.length, events: lines.length }])
})
