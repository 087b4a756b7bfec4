import { migrateUp } from 'tidemark'
import { expect, test } from 'vitest'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

test('two installs in one database do not hold each other back, ring each other or see each other', async () => {
  await migrateUp({ connectionString: database.url, schema: 'second' })
  await using first = appOn(database, [recorder('first')])
  await using second = appOn({ url: database.url, schema: 'second' }, [recorder('second')])
  await first.start()
  await second.start()

  // Open in the first install, at a floor below what the second one publishes next.
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin('in the first')
  const above = await first.publish(noted({ note: 'held back in the first' }))
  const published = []
  for (let n = 0; n < 3; n++) published.push(await second.publish(noted({ note: `second ${n}` })))
  const last = published.at(-1)?.sequence
  if (last === undefined) throw new Error('nothing was published')
  await second.waitFor('second', last)

  expect(await effectsOf(database, 'second')).toEqual(published.map((event) => event.sequence))
  expect(await effectsOf(database, 'first')).toEqual([])
  await publisher.commit()
  await first.waitFor('first', above.sequence)
  expect(await effectsOf(database, 'first')).toHaveLength(2)
})
