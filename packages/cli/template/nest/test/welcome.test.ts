import { Test } from '@nestjs/testing'
import { tidemarkOf } from '@tidemark/nestjs'
import { onTestDatabase } from '@tidemark/nestjs/testing'
import { drain } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { expect, test } from 'vitest'
import { AppModule } from '../src/app.module.js'
import { accountOpened } from '../src/welcome.js'

const database = useTestDatabase()

test('whoever opens an account is welcomed', async () => {
  await database.query('CREATE TABLE letters (account text, email text)')
  const builder = Test.createTestingModule({ imports: [AppModule] })
  const nest = await onTestDatabase(builder, database).compile()
  await nest.init()

  const tidemark = tidemarkOf(nest)
  await tidemark.publish(accountOpened({ id: 'a-1', email: 'ada@example.com' }))
  await drain(tidemark)

  const { rows } = await database.query('SELECT account, email FROM letters')
  expect(rows).toEqual([{ account: 'a-1', email: 'ada@example.com' }])
  await nest.close()
})
