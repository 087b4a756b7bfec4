import { expect, test } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'

const database = useFreshDatabase()

test('a clone of a migrated database writes the first number that it draws into the log', async () => {
  // What is drawn ahead in the log of the template is not in the log of a clone, which copies the page as it is: a server
  // that crashed before a checkpoint would draw numbers of committed events again.
  const { rows } = await database.query(
    'select last_value, log_cnt, is_called from tidemark.events_sequence',
  )
  expect(rows).toEqual([{ last_value: '0', log_cnt: '0', is_called: true }])
})
