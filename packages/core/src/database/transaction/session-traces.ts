import type pg from 'pg'

/**
 * What a text may leave behind in its session when its transaction has committed: settings, a role, temporary tables,
 * cursors, session locks. A function may do any of it unseen, so this is for callers who run a few statements of their
 * own; after a handler the session is cleaned whatever it ran.
 */
export function leavesTraces(text: string): boolean {
  return statement.test(text) || hidden.test(text)
}

const statement =
  /(?:^|;)(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*(?:set|reset|discard|listen|load|declare|do|call|create|alter)\b/iu
const hidden = /set_config\b|advisory_lock|\bpg_temp\b|\btemp(?:orary)?\b/iu

/**
 * Whether a text says itself that it changes what names mean to its session, what its role may do, or how long its
 * statements may take.
 */
export function altersSession(text: string): boolean {
  return setting.test(text) || configuring.test(text)
}

const setting = /(?:^|;)(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*(?:reset|set(?!\s+constraints))\b/iu
const configuring = /\bset_config\s*\(/iu

// In this order: what is reset is reset by who owns the session. Prepared statements of the driver stay: they are
// Tidemark's. Those of SQL are somebody else's; a function may have made them unseen, and only the server knows them.
const cleaning = [
  'RESET SESSION AUTHORIZATION',
  'RESET ALL',
  'CLOSE ALL',
  'UNLISTEN *',
  'SELECT pg_advisory_unlock_all()',
  'DISCARD TEMP',
  'DISCARD SEQUENCES',
  `SELECT true AS foreign_statements FROM pg_prepared_statements WHERE from_sql LIMIT 1`,
].join('; ')

// What answers look like, and what a role's or a database's settings would break: a time limit of theirs is for people.
const settings = {
  // First: until it is set, a limit of the database's counts for all of these.
  statement_timeout: '0',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  bytea_output: 'hex',
  xmloption: 'content',
  quote_all_identifiers: 'off',
  transform_null_equals: 'off',
  array_nulls: 'on',
  row_security: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  lock_timeout: '0',
  idle_session_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  // A client whose host has vanished is found out while it is awaited, and while an answer is on its way to it: whatever
  // its session holds is free half a minute later. Sockets of the same machine have no use for them, and no objection.
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '4',
  tcp_user_timeout: '30000',
}

// A limit on whole transactions came with Postgres 17, one on views with the minor versions of 2024: an older server does
// not know them.
const conditional = {
  transaction_timeout: whereKnown('transaction_timeout', '0'),
  restrict_nonsystem_relation_kind: whereKnown('restrict_nonsystem_relation_kind', ''),
}

function whereKnown(name: string, value: string): string {
  return `SELECT set_config('${name}', '${value}', false) WHERE current_setting('${name}', true) IS NOT NULL`
}

/**
 * The statements that give a session of Tidemark's own pool its settings, whatever its role, its database or the server
 * say; what the application asks for in its connection options stays.
 */
export function settingsText(config: pg.ClientConfig): string {
  const asked = { ...config } as Readonly<Record<string, unknown>>
  const words = [config.connectionString, config.options].join(' ').toLowerCase()
  const statements = {
    ...Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [name, `SET ${name} = '${value}'`]),
    ),
    ...conditional,
  }
  return Object.entries(statements)
    .filter(([name]) => asked[name] === undefined && !words.includes(name))
    .map(([, text]) => text)
    .join('; ')
}

const settingsOf = new WeakMap<pg.ClientBase, string>()

/**
 * Gives a new session its settings, and remembers them for when it is cleaned.
 *
 * @param pipelines - whether the client sends a statement while another one is under way.
 */
export function furnishSession(client: pg.ClientBase, text: string, pipelines = false): void {
  // Parsers of ours read texts, whatever `pg.defaults.binary` says.
  Object.assign(client, { binary: false })
  settingsOf.set(client, text)
  // A limit of a millisecond may cancel even the statement that takes it away: then the next one does.
  const [first = ''] = text.split('; ', 1)
  for (const each of pipelines ? [first, text] : [text]) {
    client.query(each).catch(() => {
      // The connection is gone: whoever uses it learns of that.
    })
  }
}

/**
 * Makes a session as it was before anybody used it. Without the settings it took 49 us where SELECT 1 took 31, once and
 * on a busy machine.
 *
 * @throws when it cannot be done: then the connection is not to be used again.
 */
export async function cleanSession(client: pg.ClientBase): Promise<void> {
  // The driver answers several statements with an array, whatever its type says.
  const answers = (await client.query(
    `${cleaning}; ${settingsOf.get(client) ?? ''}`,
  )) as unknown as readonly pg.QueryResult[]
  if (
    answers.some(({ rows: [row] }) => Object.hasOwn((row ?? {}) as object, 'foreign_statements'))
  ) {
    throw new Error('its session has prepared statements of somebody else')
  }
}
