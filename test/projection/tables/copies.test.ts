import fc from 'fast-check'
import type pg from 'pg'
import { expect, test } from 'vitest'
import { useFreshDatabase } from '../../support/fresh-database.ts'
import { readCatalog } from './catalog.ts'
import { makeTable, rebuildTable, setUp } from './featured-table.ts'
import type { TableFeature } from './table-features.ts'

const database = useFreshDatabase()

const names = fc.constantFrom(
  'notes',
  'Two Words',
  'a "quoted" one',
  'dots.in.it',
  'ON x',
  'Übersicht',
  '表 名',
  "o'clock",
  'percent %I',
)

/** One table with the features, rebuilt: its catalog is the same before and after. */
async function rebuild(
  client: pg.Client,
  number: number,
  table: string,
  features: readonly TableFeature[],
) {
  const made = await makeTable(client, number, table, features)
  const before = await readCatalog(client, made.schema)
  const replacement = await rebuildTable(client, made)
  expect(await readCatalog(client, made.schema)).toEqual(before)
  await client.query(
    `drop schema ${made.quoted} cascade; drop publication if exists "p ${made.schema}"; drop event trigger if exists "p ${made.schema}"`,
  )
  return replacement
}

// What a copy cannot have, or what refers to the table by identity: its rows are exchanged.
const slow = [
  'an identity',
  'a key that is always drawn, and referred to',
  'an index of an expression',
  'unlogged',
  'statistics of an expression',
  'a view',
  'a materialized view',
  'a foreign key of another table',
  'a function of its rows',
  'a column of its type',
  'a heir',
  'a parent',
  'a publication',
  'a type',
  'default privileges',
  'privileges that its owner has not',
  'privileges granted by others',
  'an identity with a sequence of its own',
  'types of its schema',
  'a foreign key to a partitioned table',
  'a not null that is not valid',
  'a table of a type',
  'statistics of kinds',
  'a view that is updated and a view with options',
  'a function that is parsed',
  'a publication of its columns',
  'what depends on an extension',
  'statistics of one name in two schemas',
  'a publication of its schema',
  'a foreign key that is not looked at',
  'an unlogged table with a logged sequence',
  'a constraint without overlaps, and a foreign key of it',
  'partitions, and theirs',
  'partitions by hash, one of which has other places of columns',
]

// Some sixty rebuilds of tables: on a busy machine that takes its time.
const patience = { timeout: 300_000 }

test(
  'with each property that a table can have: nothing of it differs after the switch',
  patience,
  async () => {
    const client = await database.connect()
    try {
      const exchanged = []
      let number = 0
      const features = await setUp(client)
      const tried = new Set(features.map(({ name }) => name))
      for (const feature of features) {
        number += 1
        const replacement = await rebuild(client, number, 'Some "notes"', [feature]).catch(
          (error: unknown) => {
            throw new Error(`${feature.name}: ${String(error)}`, { cause: error })
          },
        )
        if (replacement.how === 'exchanged') exchanged.push([feature.name, replacement.because])
      }
      // Whatever is swapped takes no longer for many rows than for few; these are the ones that need more.
      expect(exchanged.map(([name]) => name)).toEqual(slow.filter((name) => tried.has(name)))
    } finally {
      await client.end()
    }
  },
)

test(
  'for any properties together and any name: nothing differs after the switch',
  patience,
  async () => {
    const client = await database.connect()
    try {
      const features = (await setUp(client)).filter(({ alone = false }) => !alone)
      let number = 1000
      await fc.assert(
        fc.asyncProperty(names, fc.subarray([...features]), async (table, some) => {
          number += 1
          await rebuild(client, number, table, some)
        }),
        { numRuns: 25, endOnFailure: true },
      )
    } finally {
      await client.end()
    }
  },
)
