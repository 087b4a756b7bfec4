import { useTestDatabase } from '@tidemark/testing/vitest'
import { expect, test } from 'vitest'
import { listeners, openApp } from '../src/app.ts'
import { checkFigures } from '../src/check.ts'
import { createTables } from '../src/database.ts'
import { computeExpected } from '../src/expected.ts'
import { publishFlights } from '../src/publisher.ts'
import { openFlights } from '../src/read-flights.ts'

const database = useTestDatabase()

test('the check finds a lost row, a wrong figure and a voucher too many', async () => {
  const file = await openFlights({ all: false, limit: 1_000 })
  const expected = await computeExpected(file.read())
  await using app = openApp(database.url)
  await createTables(app)
  await app.start({ handleSignals: false })
  let rollbacks = 0
  const last = await publishFlights(app, file.read(), {
    publishers: 3,
    batchSize: 10,
    flightsPerSecond: undefined,
    signal: AbortSignal.timeout(30_000),
    onCommit: () => {},
    onRollback: () => (rollbacks += 1),
  })
  for (const listener of listeners) await app.waitFor(listener, last)

  const clean = await checkFigures(app, expected)
  expect(clean.flatMap(({ differences }) => differences)).toEqual([])
  expect(rollbacks).toBe(Math.floor(1_000 / 10 / 8))

  await database.query('DELETE FROM arrivals WHERE flight = 7')
  const { rows } = await database.query<{ flight: number }>('SELECT flight FROM vouchers LIMIT 1')
  const flight = rows[0]?.flight
  await database.query(
    'INSERT INTO vouchers (flight, dollars) SELECT flight, dollars FROM vouchers LIMIT 1',
  )
  const route = await database.query<{ name: string; flights: number }>(`
    UPDATE route_delays SET flights = flights + 1
    WHERE (origin, destination) = (SELECT origin, destination FROM route_delays LIMIT 1)
    RETURNING origin || '-' || destination AS name, flights`)
  const { name, flights = 0 } = route.rows[0] ?? {}

  const tampered = await checkFigures(app, expected)
  const differences = new Map(tampered.map((finding) => [finding.what, finding.differences]))
  expect(differences.get('arrivals')).toContain('rows: 999 instead of 1000')
  expect(differences.get('vouchers')).toEqual([`vouchers of flight ${flight}: 2 instead of 1`])
  expect(differences.get('route_delays')).toEqual([
    `flights ${name}: ${flights} instead of ${flights - 1}`,
  ])
  expect(differences.get('dashboard')).toEqual([])
})

test('the twenty thousand flights hold 91 that are compensated', async () => {
  const file = await openFlights({ all: false, limit: undefined })
  const { total, vouchers } = await computeExpected(file.read())

  expect(total.flights).toBe(20_000)
  expect(vouchers.size).toBe(91)
})

test('the parquet file is read across its row groups', async () => {
  // The first group has 272,727 rows.
  const file = await openFlights({ all: true, limit: 272_730 })
  const last: number[] = []
  let longest = 0
  for await (const { flight, delay } of file.read()) {
    if (flight > 272_726) last.push(flight)
    longest = Math.max(longest, delay)
  }

  expect(last).toEqual([272_727, 272_728, 272_729, 272_730])
  expect(longest).toBe(1_575)
})
