import type { TestDatabase } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { defineApp, defineEntity, defineProjection, migrateUp, migrationSql } from 'tidemark'
import { expect, test } from 'vitest'
import { tidemarkJson } from '../cli/tidemark.ts'
import { noted } from '../support/effects.ts'
import { appOn } from '../support/test-app.ts'

// A database has its encoding and its order of texts from whoever made it.

const server = useTestDatabase({ migrate: false })

/** A database as somebody else would make it; dropped at the end. */
async function madeWith(options: string): Promise<AsyncDisposable & { readonly url: string }> {
  const name = `made_${Math.random().toString(36).slice(2)}`
  await server.query(`CREATE DATABASE ${name} ${options} TEMPLATE template0`)
  const url = new URL(server.url)
  url.pathname = `/${name}`
  return {
    url: url.href,
    [Symbol.asyncDispose]: async () => {
      await server.query(`DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

const on = (url: string): TestDatabase => ({ url, schema: 'tidemark' }) as TestDatabase
const refused = { code: 'TIDEMARK_UNSUPPORTED_ENCODING' }

test.each(['LATIN1', 'SQL_ASCII', 'EUC_JP'])(
  'a database in %s is refused when it is migrated, when a worker starts, and by the doctor',
  async (encoding) => {
    await using made = await madeWith(`ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE 'C'`)
    await expect(migrateUp({ connectionString: made.url })).rejects.toMatchObject({
      ...refused,
      details: { encoding },
    })
    // The script for psql begins with a statement that refuses.
    const script = migrationSql()
    const [check = ''] = /DO \$\$[\s\S]*?END \$\$;/u.exec(script) ?? []
    const client = new pg.Client({ connectionString: made.url })
    client.on('error', () => {})
    await client.connect()
    await expect(client.query(check)).rejects.toThrow(`is encoded in ${encoding}`)
    // As a dump of another database makes it, which asks nobody; comments in ASCII.
    await client.query(script.replace(check, '').replaceAll(/[^\0-\x7f]/gu, '?'))
    await client.end()
    await using app = appOn(on(made.url), [noted])
    await expect(app.start()).rejects.toMatchObject(refused)
    const doctor = await tidemarkJson(['doctor'], { env: { DATABASE_URL: made.url } })
    expect(doctor.code).toBe(3)
    expect(JSON.stringify(doctor.value)).toContain('encoding-not-utf8')
    // Who only publishes is told by the first character that the database does not have, where it knows its own.
    if (encoding === 'SQL_ASCII') return
    await app.publish(noted({ note: 'plain' }))
    await expect(app.publish(noted({ note: 'Zażółć \u{1f980}' }))).rejects.toMatchObject(refused)
  },
)

const counted = defineProjection('counted', { version: 1, keyed: true, initial: () => 0 }).on(
  noted,
  (n) => n + 1,
  { key: ({ payload }) => payload.note },
)
const entity = defineEntity('collated', { initial: () => 0 }).on(noted, (n: number) => n + 1)

// Equal to a linguist, and not the same: case, accents, width, composition, digits with leading zeros, blanks.
const alike = [
  'a',
  'A',
  'á',
  'a\u0301',
  'ａ',
  'a1',
  'a01',
  'a 1',
  'a-1',
  'ß',
  'ss',
  'İ',
  'i',
  'ı',
  '\u200ba',
]

test.for([
  ['ICU, by numbers and without accents', `ICU_LOCALE 'und-u-kn-true-ks-level1'`],
  ['ICU, in Turkish', `ICU_LOCALE 'tr-TR'`],
  ['ICU, as phone books have it', `ICU_LOCALE 'de-DE-u-co-phonebk-ka-shifted'`],
])(
  'identifiers that are alike stay apart in a database of another order: %s',
  async ([, locale], { skip }) => {
    const { rows } = await server.query(
      `SELECT current_setting('server_version_num')::integer >= 150000 AS known`,
    )
    if (rows[0]?.['known'] !== true) skip('before Postgres 15 no database has an order of ICU')
    await using made = await madeWith(`ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ${locale}`)
    await migrateUp({ connectionString: made.url })
    await using app = defineApp({ connectionString: made.url, modules: [counted, noted] })
    await app.start({ handleSignals: false })
    for (const name of alike) {
      await app.decide(entity, name, () => [noted({ note: name })])
      await app.publish(noted({ note: `again ${name}` }), { idempotencyKey: name })
    }
    const last = await app.publish(noted({ note: 'last' }))
    await app.waitFor(counted, last.sequence)
    for (const name of alike) {
      expect(await app.read(counted, name)).toBe(1)
      expect((await app.load(entity, name)).version).toBe(1n)
    }
    expect(await app.list(counted)).toHaveLength(2 * alike.length + 1)
    // Page by page, none twice and none left out.
    const keys: string[] = []
    for (let after: string | undefined; ;) {
      const page = await app.list(counted, { limit: 2, ...(after === undefined ? {} : { after }) })
      if (page.length === 0) break
      keys.push(...page.map(({ key }) => key))
      after = page.at(-1)?.key
    }
    expect(keys.toSorted()).toEqual(
      [...alike, ...alike.map((name) => `again ${name}`), 'last'].toSorted(),
    )
  },
)
