import { startPostgres, type PostgresServer } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { deeds } from './deeds.ts'
import { atEachStatement, type Deed } from './statement-by-statement.ts'

/**
 * A caller or an operator dies, loses its connection or its server at a statement of what it asks for, and asks again. The
 * suite tries a few of them; `CRASH_SECONDS=60 npm test -- faults/deeds` tries them all.
 */
const long = process.env['CRASH_SECONDS']
const budget = Number(long ?? 0.2) * 1000
const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 1_000_000))

test.each(Object.entries(deeds))(
  '%s: whoever does it ends at a statement, and does it again',
  async (_, deed) => expect(await attempt(deed)).toBeGreaterThan(0),
  budget + 120_000,
)

test(
  'the same where the server crashes',
  async () => {
    await using server = await startPostgres({ source: 'embedded' })
    const all = Object.values(deeds)
    // A crash takes seconds: one of them, by the seed.
    const chosen = long === undefined ? all.filter((_, index) => index === seed % all.length) : all
    for (const deed of chosen) expect(await attempt(deed, server)).toBeGreaterThan(0)
  },
  budget * 10 + 240_000,
)

/** Answers how many faults were tried. */
async function attempt(deed: Deed, server?: PostgresServer): Promise<number> {
  const { statements, tried } = await atEachStatement(deed, {
    seed,
    budget,
    ...(server !== undefined && { server }),
  })
  if (long !== undefined) {
    const where = server === undefined ? '' : ', with a server that crashes'
    console.log(`${statements} statements, ${tried} faults tried, seed ${seed}${where}`)
  }
  return tried
}
