import pg from 'pg'

// In what form the server answers, and how it reads texts: what Tidemark's statements depend on.
const needed = {
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  standard_conforming_strings: 'on',
  bytea_output: 'hex',
  quote_all_identifiers: 'off',
  transform_null_equals: 'off',
  array_nulls: 'on',
} as const
const names = Object.keys(needed) as (keyof typeof needed)[]

const look = `SELECT ${names.map((name) => `current_setting('${name}', true) AS ${name}`).join(', ')}`

/** What the sessions had when they were first used; undefined: nothing that matters. */
const known = new WeakMap<
  pg.ClientBase,
  { readonly change: string; readonly restore: string } | undefined
>()

/**
 * Gives the session of a given pool, for as long as it is lent, the settings that Tidemark's statements are read by, where
 * it has others; they are looked at when a connection is first lent.
 *
 * @returns the statements that give its owner's back; undefined: nothing was changed.
 */
export async function speakPlainly(client: pg.ClientBase): Promise<string | undefined> {
  if (!known.has(client)) {
    const { rows } = await client.query({ text: look, types: texts })
    known.set(client, differing(rows[0] as Record<string, string | null>))
  }
  const settings = known.get(client)
  if (settings === undefined) return undefined
  await client.query(settings.change)
  return settings.restore
}

function differing(row: Readonly<Record<string, string | null>>) {
  const others = names.filter(
    (name) =>
      row[name] !== null &&
      row[name] !== needed[name] &&
      !(name === 'datestyle' && row[name]?.startsWith('ISO')),
  )
  if (others.length === 0) return undefined
  const set = (values: Readonly<Record<string, string | null>>): string =>
    others.map((name) => `SET ${name} = ${pg.escapeLiteral(values[name] as string)}`).join('; ')
  return { change: set(needed), restore: set(row) }
}

const texts: pg.CustomTypesConfig = { getTypeParser: (() => (text: string) => text) as never }
