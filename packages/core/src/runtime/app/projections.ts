import type { Database } from '../../database/pool.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { lockDefinition } from '../../listener/read/definition-row.ts'
import type { ListenerAdmin } from '../../listener/steered/admin.ts'
import type { GoBackOptions } from '../../outbox/kept/pruned.ts'
import type { InlineProjections } from '../../projection/folded/inline.ts'
import type { KeyedProjection } from '../../projection/folded/keyed-projection.ts'
import { readKey, readProjection } from '../../projection/folded/read.ts'
import { StateProjection } from '../../projection/folded/state-projection.ts'
import { startRebuild } from '../../projection/rebuilt/rebuild.ts'
import { resetProjection } from '../../projection/rebuilt/reset.ts'

/** What projections are read and derived anew with. */
export interface ProjectionsEnvironment {
  readonly database: Database
  readonly schema: string
  readonly inline: InlineProjections
  readonly listeners: ListenerAdmin
  /** The listeners and projections of the application, by name. */
  readonly consumers: ReadonlyMap<string, Consumer>
}

/** The projections of an application: reading them, and deriving them anew. */
export class Projections {
  readonly #environment: ProjectionsEnvironment

  constructor(environment: ProjectionsEnvironment) {
    this.#environment = environment
  }

  read<State>(
    projection: StateProjection<State> | KeyedProjection<State>,
    key?: string,
  ): Promise<State> {
    const { database, schema } = this.#environment
    return projection instanceof StateProjection
      ? readProjection(database, schema, projection)
      : readKey(database, schema, projection, key as string)
  }

  async reset(name: string, options: GoBackOptions): Promise<void> {
    rejectUnknownOptions('reset', options, ['evenPruned'])
    const projection = this.#named(name)
    const { database, schema, inline } = this.#environment
    await inTransaction(database, brief, (transaction) =>
      resetProjection(transaction, projection, { schema, inline }, options),
    )
  }

  async rebuild(name: string): Promise<void> {
    const projection = this.#named(name)
    if (projection.mode === 'inline') {
      throw new TidemarkError('TIDEMARK_CANNOT_REBUILD', `${projection.name} is inline`, {
        hint: 'Reset it: it is replayed in one transaction, while its publishers wait.',
      })
    }
    const { database, schema, listeners } = this.#environment
    const { version } = await listeners.get(projection.name)
    if (version !== projection.version) {
      throw new TidemarkError(
        'TIDEMARK_CANNOT_REBUILD',
        `${projection.name} is at version ${version} in the database and ${projection.version} here`,
        { hint: 'A raised version is rebuilt when a process that has it starts.' },
      )
    }
    await inTransaction(database, brief, async (transaction) => {
      await lockDefinition(transaction, schema, projection)
      const refusal = await startRebuild(transaction, schema, projection)
      if (refusal !== undefined) throw refusal.error
    })
  }

  #named(name: string): Consumer {
    const consumer = this.#environment.consumers.get(name)
    if (consumer?.kind === 'projection') return consumer
    throw new TidemarkError(
      'TIDEMARK_UNKNOWN_LISTENER',
      `no projection of this application is named "${name}"`,
    )
  }
}
