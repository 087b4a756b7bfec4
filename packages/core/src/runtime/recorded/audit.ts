import { run, type Executor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { beginAction, endAction, forgetActions } from '../../database/sql/operations/audit.ts'
import { requireString, requireText } from '../../errors/checked-text.ts'
import { requireOneOf, requireSequence, requireTime } from '../../errors/checked-values.ts'
import { rejectUnknownOptions, requireOptions, requireWhole } from '../../errors/options.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import {
  auditDetails,
  auditText,
  type AuditedAction,
  type AuditEntry,
  type AuditOutcome,
} from './audit-entry.ts'

/** Which actions to list. */
export interface AuditPage {
  readonly by?: string
  readonly via?: string
  readonly action?: string
  /** Only those about things of this name. */
  readonly name?: string
  /** Only those of this outcome; `open`: those that have none. */
  readonly outcome?: AuditOutcome['outcome'] | 'open'
  readonly since?: Date
  readonly until?: Date
  /** Only those before this one: the last of the page before. */
  readonly before?: bigint
  /** The most. Defaults to 100. */
  readonly limit?: number
}

const pageOptions = [
  'by',
  'via',
  'action',
  'name',
  'outcome',
  'since',
  'until',
  'before',
  'limit',
] as const

// However much is recorded in the time that it is kept for.
const mostEntries = 100_000

/**
 * The record of who changed what from outside: through HTTP, the console and the command line. An application that steers
 * by ways of its own records with {@link Audit.record}.
 */
export class Audit {
  readonly #database: Database
  readonly #schema: string

  constructor(database: Database, schema: string) {
    this.#database = database
    this.#schema = schema
  }

  /**
   * Does something, and records it: before, so that nothing is done that is not recorded; and after it what came of it.
   *
   * @param outcomeOf - what came of it; an error is looked at without it. Defaults to `done`.
   * @throws whatever `work` throws, or what keeps it from being recorded: then nothing was done.
   *
   * @example
   * ```ts
   * import { defineApp } from 'tidemark'
   *
   * await using app = defineApp({ modules: [] })
   * const subject = { kind: 'listener', name: 'billing' }
   * await app.audit.record({ via: 'chat', by: 'ada', action: 'pauseListener', subject }, () =>
   *   app.listeners.pause('billing'),
   * )
   * ```
   */
  async record<T>(
    action: AuditedAction,
    work: () => Promise<T>,
    outcomeOf: (answer: T) => AuditOutcome | Promise<AuditOutcome> = () => ({ outcome: 'done' }),
  ): Promise<T> {
    const id = await this.begin(action)
    let answer: T
    try {
      answer = await work()
    } catch (error) {
      await this.end(id, outcomeOfError(error))
      throw error
    }
    await this.end(id, await outcomeOf(answer))
    return answer
  }

  /**
   * Records what is about to be done, for whoever cannot put it into a function.
   *
   * @returns the id to {@link end} it with.
   * @throws TidemarkError TIDEMARK_INVALID_OPTION, or what keeps it from being recorded.
   */
  async begin(action: AuditedAction): Promise<bigint> {
    rejectUnknownOptions('audit.begin', action, ['via', 'by', 'action', 'subject', 'asked'])
    const { via, by, action: name, subject = null, asked = {} } = action
    for (const [option, text] of Object.entries({ via, by, action: name })) {
      requireString('audit.begin', option, text)
    }
    if (subject !== null) {
      requireOptions('audit.begin: subject', subject)
      requireString('audit.begin: subject', 'kind', subject.kind)
      requireString('audit.begin: subject', 'name', subject.name)
    }
    requireOptions('audit.begin: asked', asked)
    const { rows } = await run(this.#database, beginAction(this.#schema), [
      auditText(via),
      auditText(by),
      auditText(name),
      subject === null ? null : auditText(subject.kind),
      subject === null ? null : auditText(subject.name),
      auditDetails(asked),
    ])
    return BigInt(rows[0]?.['id'] as string)
  }

  /** Records what came of it. Never throws: what was done is done, and an action without an outcome shows that it is unknown. */
  async end(id: bigint, { outcome, code, result }: AuditOutcome): Promise<void> {
    try {
      await run(this.#database, endAction(this.#schema), [
        id,
        outcome,
        code == null ? null : auditText(code),
        auditDetails(result),
      ])
    } catch {
      // The caller must learn what came of the action, which another error would hide.
    }
  }

  /**
   * What was recorded, the newest first.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   */
  async list(page: AuditPage = {}): Promise<AuditEntry[]> {
    rejectUnknownOptions('audit.list', page, pageOptions)
    for (const option of ['by', 'via', 'action', 'name'] as const) {
      const value = page[option]
      if (value !== undefined) requireText('audit.list', option, value)
    }
    const { by, via, action, name, outcome, since, until, before, limit = 100 } = page
    requireWhole('audit.list', 'limit', limit, 1)
    if (outcome !== undefined) {
      requireOneOf('audit.list', 'outcome', outcome, ['done', 'refused', 'failed', 'open'])
    }
    if (since !== undefined) requireTime('audit.list', 'since', since)
    if (until !== undefined) requireTime('audit.list', 'until', until)
    if (before !== undefined) requireSequence('audit.list', 'before', before)
    // Few enough to be read from the newest on, whatever is looked for.
    const { rows } = await this.#database.query(
      `SELECT a.* FROM "${this.#schema}".audit a
       WHERE ($1::text IS NULL OR a.by = $1) AND ($2::text IS NULL OR a.via = $2)
         AND ($3::text IS NULL OR a.action = $3) AND ($4::text IS NULL OR a.name = $4)
         AND ($5::text IS NULL OR coalesce(a.outcome, 'open') = $5)
         AND ($6::timestamptz IS NULL OR a.at >= $6) AND ($7::timestamptz IS NULL OR a.at < $7)
         AND ($8::bigint IS NULL OR a.id < $8)
       ORDER BY a.id DESC LIMIT $9::integer`,
      [by, via, action, name, outcome, since, until, before, limit].map((value) => value ?? null),
    )
    return rows.map((row) => ({
      id: BigInt(row['id'] as string),
      at: row['at'] as Date,
      via: row['via'] as string,
      by: row['by'] as string,
      databaseUser: row['db_user'] as string,
      action: row['action'] as string,
      subject:
        row['name'] === null ? null : { kind: row['kind'] as string, name: row['name'] as string },
      asked: row['asked'] as Record<string, unknown>,
      outcome: row['outcome'] as AuditEntry['outcome'],
      code: row['code'] as string | null,
      result: row['result'] as Record<string, unknown>,
      endedAt: row['ended_at'] as Date | null,
    }))
  }
}

/** What an error says of the action that threw it: refused is what the library does not follow; all else went wrong. */
export function outcomeOfError(error: unknown): AuditOutcome {
  const { code } = error as { readonly code?: unknown }
  return {
    outcome: isTidemarkError(error) ? 'refused' : 'failed',
    code: typeof code === 'string' ? code : null,
  }
}

/** Deletes what is older than `keep` milliseconds, and what is more than can be kept. */
export async function forgetOldActions(
  database: Executor,
  schema: string,
  keep: number,
): Promise<void> {
  await run(database, forgetActions(schema), [keep, mostEntries])
}
