import { randomBytes } from 'node:crypto'
import pg from 'pg'

const channel = 'tidemark_testing_spares'
/** How many are kept ready of each template that was asked for. */
const kept = 3

// No database of that name (any more), or its name was taken, or somebody looks into it.
const missed = new Set(['3D000', '42P04', '55006'])

/**
 * Takes a database that was cloned ahead: it is renamed, so that one process alone has it.
 *
 * @returns whether there was one.
 */
export async function takeSpare(
  client: pg.Client,
  template: string,
  name: string,
): Promise<boolean> {
  const { rows } = await client.query<{ spare: string }>(
    'select datname as spare from pg_database where starts_with(datname, $1) order by random()',
    [spareOf(template)],
  )
  for (const { spare } of rows) {
    try {
      await client.query(`alter database ${spare} rename to ${name}`)
      return true
    } catch (error) {
      if (!missed.has((error as pg.DatabaseError).code ?? '')) throw error
    }
  }
  return false
}

/** Has clones of a template made ahead from now on, where somebody keeps spares. */
export async function askForSpares(client: pg.Client, template: string): Promise<void> {
  await client.query('select pg_notify($1, $2)', [channel, template])
}

function spareOf(template: string): string {
  return `${template.replace('template', 'spare')}_`
}

/**
 * Keeps clones of the templates that were asked for, so that a test need not wait for its database. It lives beside the
 * server of a run; without it, or when it has lost its connection, databases are cloned when they are asked for.
 */
export class SpareDatabases implements AsyncDisposable {
  readonly #client: pg.Client
  readonly #asked = new Set<string>()
  readonly #templates = new Set<string>()
  #making: Promise<void> | undefined
  #ended = false

  private constructor(client: pg.Client) {
    this.#client = client
  }

  static async keep(serverUrl: string): Promise<SpareDatabases> {
    const client = new pg.Client({
      connectionString: serverUrl,
      application_name: 'tidemark testing spares',
    })
    const spares = new SpareDatabases(client)
    client.on('error', () => void (spares.#ended = true))
    client.on('notification', ({ payload }) => spares.#ask(payload ?? ''))
    await client.connect()
    await client.query(`listen ${channel}`)
    return spares
  }

  #ask(template: string): void {
    this.#asked.add(template)
    this.#templates.add(template)
    // A template that is gone, or a server: then nobody asks any more.
    this.#making ??= this.#make()
      .catch(() => undefined)
      .finally(() => void (this.#making = undefined))
  }

  /** One at a time: a server that clones has less left for the tests. */
  async #make(): Promise<void> {
    for (const template of this.#asked) {
      this.#asked.delete(template)
      const missing = kept - (await this.#count(template))
      if (this.#ended || missing <= 0) continue
      const spare = `${spareOf(template)}${randomBytes(4).toString('hex')}`
      await this.#client.query(`create database ${spare} template ${template}`)
      if (missing > 1) this.#asked.add(template)
    }
  }

  async #count(template: string): Promise<number> {
    const { rows } = await this.#client.query<{ spares: number }>(
      'select count(*)::integer as spares from pg_database where starts_with(datname, $1)',
      [spareOf(template)],
    )
    return rows[0]?.spares ?? 0
  }

  /** Drops those that nobody took: the server may be one that stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    const lost = this.#ended
    this.#ended = true
    await this.#making
    if (!lost) await this.#drop().catch(() => undefined)
    await this.#client.end().catch(() => undefined)
  }

  async #drop(): Promise<void> {
    for (const template of this.#templates) {
      const { rows } = await this.#client.query<{ spare: string }>(
        'select datname as spare from pg_database where starts_with(datname, $1)',
        [spareOf(template)],
      )
      for (const { spare } of rows) {
        await this.#client.query(`drop database if exists ${spare}`)
      }
    }
  }
}
