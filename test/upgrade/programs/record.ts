/**
 * `npm run snapshot`: writes what depends on a server and is made from the migrations.
 *
 * - `migrations/schema.sql`: the schema as it is when all migrations are applied;
 * - `test/upgrade/snapshots/baseline.sql`, or `….sql` of the release that is given: a populated database.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createTestDatabase } from '@tidemark/testing'
import { schemaFile, schemaHeader, snapshotFolder } from '../files.ts'
import { populate } from '../populate.ts'
import { schemaText } from '../schema-text.ts'

const [release = 'baseline'] = process.argv.slice(2)

await using database = await createTestDatabase()
writeFileSync(schemaFile, schemaHeader + (await schemaText(database.pool, database.schema)))
console.log(`wrote ${fileURLToPath(schemaFile)}`)

const snapshot = new URL(`${release}.sql`, snapshotFolder)
writeFileSync(snapshot, (await populate()).text)
console.log(`wrote ${fileURLToPath(snapshot)}`)
