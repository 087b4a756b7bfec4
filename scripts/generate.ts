/**
 * Writes the files that are made from others, so that nobody keeps two copies in step by hand:
 *
 * - `packages/core/src/database/generated/migrations.ts` from `migrations/*.sql`, because published
 *   code carries its migrations as a module and reads no files at run time;
 * - `packages/core/src/database/generated/objects.ts` from `migrations/schema.sql`: what a database must have;
 * - `docs/errors.md` from the error code table, `packages/core/src/errors/codes`;
 * - the tables of `docs/telemetry.md` from the contracts in `packages/core/src/telemetry`;
 * - the table of `docs/stores.md` from the conformance suite, `packages/stores/src/conformance`.
 *
 * `node scripts/generate.ts` writes them; with `--check` it writes nothing and exits 1 if one is stale.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type ErrorCodeEntry, errorCodes } from '../packages/core/src/errors/codes.ts'
import { metricContracts } from '../packages/core/src/telemetry/metric-contracts.ts'
import { spanContracts } from '../packages/core/src/telemetry/span-contracts.ts'
import { exceptions } from '../packages/stores/src/conformance/exceptions.ts'
import { promises } from '../packages/stores/src/conformance/promises.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** A file to write: its path from the root of the repository, and its whole text. */
interface GeneratedFile {
  readonly path: string
  readonly text: string
}

/** What one numbered `.sql` file says about itself. */
interface MigrationSource {
  readonly version: number
  readonly name: string
  readonly breaking: boolean
  readonly checksum: string
  readonly sql: string
}

/** A mistake in what the files are made from: shown as it is, without a stack trace. */
class SourceError extends Error {}

/** Reads one migration; throws a `SourceError` if its name, header or bytes break the rules below. */
function readMigration(file: string, bytes: Buffer): MigrationSource {
  const [, version, name] = /^(\d{4})-([a-z0-9]+(?:-[a-z0-9]+)*)\.sql$/.exec(file) ?? []
  if (version === undefined || name === undefined) {
    throw new SourceError(
      `migrations/${file}: name it NNNN-words-in-kebab-case.sql, as 0001-outbox.sql`,
    )
  }
  const sql = bytes.toString('utf8')
  if (!Buffer.from(sql, 'utf8').equals(bytes)) {
    throw new SourceError(`migrations/${file}: not valid UTF-8`)
  }
  // A template literal reads CRLF as LF: the module's text would no longer match its checksum.
  if (sql.includes('\r')) {
    throw new SourceError(
      `migrations/${file}: has carriage returns; end its lines with a line feed only`,
    )
  }
  const header = /^(?:--.*\n|\n)*/.exec(sql)?.[0] ?? ''
  const answers = [...header.matchAll(/^--\s*breaking:\s*(.*?)\s*$/gm)].map(([, answer]) => answer)
  if (answers.length !== 1 || (answers[0] !== 'yes' && answers[0] !== 'no')) {
    throw new SourceError(
      `migrations/${file}: its header must have exactly one line "-- breaking: yes" or "-- breaking: no"` +
        ' (yes: workers of the release before cannot run on the new schema)',
    )
  }
  return {
    version: Number(version),
    name,
    breaking: answers[0] === 'yes',
    checksum: createHash('sha256').update(bytes).digest('hex'),
    sql,
  }
}

/** Reads all migrations in order; versions must run 1, 2, 3 … without a gap. */
async function readMigrations(): Promise<readonly MigrationSource[]> {
  const entries = await readdir(join(root, 'migrations'))
  // schema.sql is made from the others.
  const files = entries
    .filter((entry) => entry.endsWith('.sql') && entry !== 'schema.sql')
    .toSorted()
  if (files.length === 0) throw new SourceError('migrations/ holds no .sql file')
  const migrations = await Promise.all(
    files.map(async (file) => readMigration(file, await readFile(join(root, 'migrations', file)))),
  )
  for (const [index, { version }] of migrations.entries()) {
    if (version !== index + 1) {
      throw new SourceError(
        `migrations/${files[index] ?? ''}: expected number ${index + 1} here; numbers run from 1 without a gap`,
      )
    }
  }
  return migrations
}

/** Quotes SQL as a template literal, so that a changed migration shows as a readable diff. */
function templateLiteral(text: string): string {
  return '`' + text.replaceAll(/[\\`]|\$(?=\{)/g, (character) => `\\${character}`) + '`'
}

function migrationsModule(migrations: readonly MigrationSource[]): GeneratedFile {
  const entries = migrations.map(
    ({ version, name, breaking, checksum, sql }) => `  Object.freeze({
    version: ${version},
    name: '${name}',
    breaking: ${breaking},
    checksum: '${checksum}',
    sql: ${templateLiteral(sql)},
  }),
`,
  )
  return {
    path: 'packages/core/src/database/generated/migrations.ts',
    text: `// Generated by npm run generate from migrations/; do not edit.

/** One numbered migration, carried in the code so that none is read from a file at run time. */
export interface Migration {
  /** Its number: 1 for the first, without gaps. */
  readonly version: number
  /** The words of its file name, as \`outbox\` for \`0001-outbox.sql\`. */
  readonly name: string
  /** Whether workers of the release before it must not run once it is applied. */
  readonly breaking: boolean
  /** SHA-256 of the file's bytes, in hexadecimal. */
  readonly checksum: string
  /** The whole text of the file. */
  readonly sql: string
}

/** Every migration, in the order in which they are applied. */
export const migrations: readonly Migration[] = Object.freeze([
${entries.join('')}])
`,
  }
}

/** The names of what `migrations/schema.sql` has, which is looked for in databases. */
async function objectsModule(): Promise<GeneratedFile> {
  const schema = await readFile(join(root, 'migrations/schema.sql'), 'utf8')
  const tables: string[] = []
  const constraints: string[][] = []
  const uniqueIndexes: string[][] = []
  const indexes: string[][] = []
  const triggers: string[][] = []
  let current = ''
  for (const line of schema.split('\n')) {
    const [, made] = /^CREATE (?:UNLOGGED )?TABLE tidemark\.(\w+) /.exec(line) ?? []
    if (made !== undefined) tables.push((current = made))
    const [, constraint] = /^ {2}CONSTRAINT (\w+) /.exec(line) ?? []
    if (constraint !== undefined) constraints.push([current, constraint])
    const [, unique, index] = /^CREATE (UNIQUE )?INDEX (\w+) ON /.exec(line) ?? []
    if (index !== undefined) (unique === undefined ? indexes : uniqueIndexes).push([current, index])
    const [, trigger] = /^CREATE TRIGGER (\w+) /.exec(line) ?? []
    if (trigger !== undefined) triggers.push([current, trigger])
  }
  const objects = { tables, constraints, uniqueIndexes, indexes, triggers }
  return {
    path: 'packages/core/src/database/generated/objects.ts',
    text: `// Generated by npm run generate from migrations/schema.sql; do not edit.

/** A table, and the name of something that it has. */
export type OfTable = readonly [table: string, name: string]

/** What a database has when all migrations are applied. */
export const schemaObjects: {
  readonly tables: readonly string[]
  readonly constraints: readonly OfTable[]
  readonly uniqueIndexes: readonly OfTable[]
  readonly indexes: readonly OfTable[]
  readonly triggers: readonly OfTable[]
} = ${JSON.stringify(objects, null, 2)}
`,
  }
}

function errorsPage(codes: Readonly<Record<string, ErrorCodeEntry>>): GeneratedFile {
  const sections = Object.entries(codes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { summary, example, remedy }]) =>
      [
        `## ${code}`,
        summary,
        `\`\`\`text\n${code}: ${example}\n\`\`\``,
        `**Remedy.** ${remedy}\n`,
      ].join('\n\n'),
    )
  return {
    path: 'docs/errors.md',
    text: `<!-- Generated by npm run generate from packages/core/src/errors/codes; do not edit. -->

# Errors

Every error that Tidemark raises has a stable \`code\`, a \`hint\` that says what to do, and \`details\`
with the values at fault. Test for the code, never for the message: messages may get better, codes stay.
Each is shown with an example of its message, as it is printed.

${sections.join('\n')}`,
  }
}

/** A section for each span and metric: tables with sentences in their cells are read by nobody. */
function spanSections(): string {
  return Object.values(spanContracts)
    .map(
      ({ name, kind, description, context, attributes }) =>
        `### \`${name}\`\n\n_${kind}_. ${description}\n\n${context}\n\nAttributes: ${codeList(attributes)}.\n`,
    )
    .join('\n')
}

function metricSections(): string {
  return Object.entries(metricContracts)
    .map(
      ([name, { kind, unit, description, attributes }]) =>
        `### \`${name}\`\n\n_${kind}_, in \`${unit}\`. ${description}\n\nAttributes: ${codeList(attributes)}.\n`,
    )
    .join('\n')
}

function codeList(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ')
}

/** Backends by promises; what a backend does not promise has its reason below the table. */
function conformanceTable(): string {
  const backends: [string, Readonly<Record<string, string>>][] = Object.entries(exceptions)
  const reasons: string[] = []
  const rows = Object.entries(promises).map(([promise, title]) => {
    const cells = backends.map(([backend, without]) => {
      const reason = without[promise]
      if (reason === undefined) return 'yes'
      reasons.push(`${reasons.length + 1}. ${backend}: ${reason}.`)
      return `no (${reasons.length})`
    })
    return [title, ...cells]
  })
  const names = backends.map(([backend]) => backend)
  return `${table([['promise', ...names], ...rows])}\n${reasons.join('\n')}\n`
}

/** A table of Markdown, its first row the heading, laid out as the formatter does. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`
  const [heading = [], ...body] = rows.map(line)
  return [heading, line(widths.map((width) => '-'.repeat(width))), ...body].join('')
}

/** A page as it is, with what stands between its marks made anew. */
async function markedPage(
  path: string,
  sections: Readonly<Record<string, string>>,
): Promise<GeneratedFile> {
  let text = await readFile(join(root, path), 'utf8')
  for (const [mark, section] of Object.entries(sections)) {
    const [before, after] = text.split(`<!-- generated: ${mark} -->`)
    const end = after?.indexOf('<!-- end -->') ?? -1
    if (after === undefined || end < 0) throw new SourceError(`${path}: no mark for its ${mark}`)
    text = `${before}<!-- generated: ${mark} -->\n\n${section}\n${after.slice(end)}`
  }
  return { path, text }
}

async function generate(): Promise<readonly GeneratedFile[]> {
  return [
    migrationsModule(await readMigrations()),
    await objectsModule(),
    errorsPage(errorCodes),
    await markedPage('docs/telemetry.md', { spans: spanSections(), metrics: metricSections() }),
    await markedPage('docs/stores.md', { conformance: conformanceTable() }),
  ]
}

/** Says whether the file on disk has exactly this text. */
async function isFresh({ path, text }: GeneratedFile): Promise<boolean> {
  const target = join(root, path)
  return existsSync(target) && (await readFile(target, 'utf8')) === text
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
  const stale: GeneratedFile[] = []
  for (const file of await generate()) {
    if (!(await isFresh(file))) stale.push(file)
  }
  if (values.check) {
    for (const { path } of stale) console.error(`${path} is stale: run "npm run generate"`)
    return stale.length === 0 ? 0 : 1
  }
  for (const { path, text } of stale) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
    console.error(`wrote ${path}`)
  }
  return 0
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof SourceError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
