import { expect, test } from 'vitest'
import { checkTypes } from '../docs/check-types.ts'
import type { Snippet } from '../docs/snippet.ts'
import { missing } from '../support/install.ts'

const folder = new URL('./', import.meta.url)
const reason = await missing(folder)

/** How a project with this ORM writes its types down. */
interface Typed {
  readonly orm: string
  readonly before: string
  /** `Register['db']`, and what makes it. */
  readonly db: string
  readonly bind: string
  /** What is given inside of a transaction of the ORM, and the option made of it. */
  readonly own: string
  readonly tx: string
  /** A statement with `db` that compiles, and one that must not. */
  readonly right: string
  readonly wrong: string
}

const projects: readonly Typed[] = [
  {
    orm: 'Drizzle',
    before: `
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'
import { fromDrizzle, type DrizzleTransaction } from 'tidemark/drizzle'
const accounts = pgTable('accounts', { id: text().primaryKey() })
const schema = { accounts }`,
    db: 'NodePgDatabase<typeof schema>',
    bind: '(client) => drizzle(client, { schema })',
    own: 'DrizzleTransaction',
    tx: 'fromDrizzle(own)',
    right: `db.insert(accounts).values({ id: 'a' })`,
    wrong: `db.insert(accounts).values({ name: 'a' })`,
  },
  {
    orm: 'Knex',
    before: `
import knexOn, { type Knex } from 'knex'
import { bindKnex, fromKnex } from 'tidemark/knex'
const knex = knexOn({ client: 'pg' })`,
    db: 'Knex',
    bind: 'bindKnex(knex)',
    own: 'Knex.Transaction',
    tx: 'fromKnex(own)',
    right: `db('accounts').insert({ id: 'a' })`,
    wrong: `db.save('accounts')`,
  },
  {
    orm: 'TypeORM',
    before: `
import { DataSource, EntitySchema, type EntityManager } from 'typeorm'
import { bindTypeorm, fromTypeorm } from 'tidemark/typeorm'
const Account = new EntitySchema<{ id: string }>({ name: 'A', columns: { id: { type: String, primary: true } } })
const dataSource = new DataSource({ type: 'postgres', entities: [Account] })`,
    db: 'EntityManager',
    bind: 'bindTypeorm(dataSource)',
    own: 'EntityManager',
    tx: 'fromTypeorm(own)',
    right: `db.insert(Account, { id: 'a' })`,
    wrong: `db.insert(Account, { name: 'a' })`,
  },
  {
    orm: 'MikroORM',
    before: `
import { MikroORM, type EntityManager } from '@mikro-orm/postgresql'
import { bindMikroOrm, fromMikroOrm } from 'tidemark/mikro-orm'
declare const orm: MikroORM`,
    db: 'EntityManager',
    bind: 'bindMikroOrm(orm)',
    own: 'EntityManager',
    tx: 'fromMikroOrm(own)',
    right: 'db.flush()',
    wrong: 'db.flash()',
  },
  {
    orm: 'Sequelize',
    before: `
import { Sequelize, Transaction } from 'sequelize'
import { bindSequelize, fromSequelize } from 'tidemark/sequelize'
const sequelize = new Sequelize('postgres://localhost/app')`,
    db: 'Transaction',
    bind: 'bindSequelize(sequelize, Transaction)',
    own: 'Transaction',
    tx: 'fromSequelize(sequelize, own)',
    right: `sequelize.query('select 1', { transaction: db })`,
    wrong: `sequelize.query('select 1', { transaction: payload })`,
  },
  {
    orm: 'Kysely',
    before: `
import { Kysely, type Transaction } from 'kysely'
import { bindKysely } from 'tidemark/kysely'
interface Tables { accounts: { id: string } }`,
    db: 'Kysely<Tables>',
    bind: 'bindKysely((dialect) => new Kysely<Tables>({ dialect }))',
    own: 'Transaction<Tables>',
    tx: 'own',
    right: `db.insertInto('accounts').values({ id: 'a' }).execute()`,
    wrong: `db.insertInto('accounts').values({ name: 'a' }).execute()`,
  },
  {
    orm: 'postgres.js, publishing only',
    before: `
import type { TransactionSql } from 'postgres'
import type { Kysely } from 'kysely'
import { fromPostgres } from 'tidemark/postgres-js'
import { bindKysely } from 'tidemark/kysely'
declare const made: Kysely<{ accounts: { id: string } }>`,
    db: 'typeof made',
    bind: 'bindKysely(() => made)',
    own: 'TransactionSql',
    tx: 'fromPostgres(own)',
    right: `db.selectFrom('accounts').execute()`,
    wrong: `db.selectFrom('nowhere').execute()`,
  },
]

function program({ before, db, bind, own, tx, right, wrong }: Typed): string {
  return `${before}
import { defineApp, defineEvent, defineJob, defineListener, defineProjection } from 'tidemark'
import { z } from 'zod'

declare module 'tidemark' {
  interface Register {
    db: ${db}
  }
}

const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
const mail = defineJob('mail', {
  input: z.object({ to: z.string() }),
  run: async (job, ctx) => {
    await ctx.transaction(async ({ db }) => {
      const payload = { id: job.input.to }
      void payload
      await ${right}
      // @ts-expect-error -- the ORM's own types
      await ${wrong}
    })
  },
})
const listener = defineListener('ledger').on(opened, async ({ payload }, { db, publish, spawn }) => {
  await ${right}
  // @ts-expect-error -- the ORM's own types
  await ${wrong}
  // @ts-expect-error -- a wrong payload
  publish(opened({ id: 5 }))
  // @ts-expect-error -- a wrong input
  await spawn(mail, { from: payload.id })
})
const table = defineProjection('table', { version: 1, tables: ['accounts'] }).on(
  opened,
  async ({ payload }, { db }) => {
    void payload
    await ${right}
    // @ts-expect-error -- the ORM's own types
    await ${wrong}
  },
)
// @ts-expect-error -- a project that declares its db must say how it is made
defineApp({ modules: [opened] })
export const tidemark = defineApp({ modules: [opened, listener, table, mail], db: ${bind} })
export async function publishes(own: ${own}): Promise<void> {
  await tidemark.publish(opened({ id: 'a' }), { tx: ${tx} })
  // @ts-expect-error -- a wrong payload
  await tidemark.publish(opened({ name: 'a' }), { tx: ${tx} })
  await tidemark.jobs.spawn(mail, { to: 'a' }, { tx: ${tx} })
  // @ts-expect-error -- a wrong input
  await tidemark.jobs.spawn(mail, { to: 5 }, { tx: ${tx} })
  await tidemark.transaction(async ({ db }) => {
    const payload = { id: 'a' }
    void payload
    await ${right}
    // @ts-expect-error -- the ORM's own types
    await ${wrong}
  })
}
`
}

test.skipIf(reason !== undefined)(
  'the `db` of a project is its own, and what is wrong does not compile',
  async () => {
    const snippets = projects.map((project): Snippet => ({
      file: project.orm,
      line: 1,
      language: 'ts',
      info: '',
      code: program(project),
    }))
    expect(await checkTypes(snippets, folder)).toEqual([])
  },
)
