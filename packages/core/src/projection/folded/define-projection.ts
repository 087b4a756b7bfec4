import { shown } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireName, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import {
  checkRunOptions,
  requireAliases,
  runOptions,
} from '../../listener/defined/define-listener.ts'
import { checkTableOptions } from '../stored/keyed-table.ts'
import { KeyedProjection, type KeyedProjectionOptions } from './keyed-projection.ts'
import { StateProjection, type StateProjectionOptions } from './state-projection.ts'
import { checkStateVersion } from './state-version.ts'
import { TableProjection, type TableProjectionOptions } from './table-projection.ts'

/**
 * Defines a projection: state that is derived from events, and can be derived again from sequence zero.
 *
 * @param name - the identity of its cursor; choose it for good.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineEvent, defineProjection } from 'tidemark'
 * import { z } from 'zod'
 *
 * const deposited = defineEvent('deposits.deposited', {
 *   payload: z.object({ accountId: z.string(), amount: z.bigint() }),
 * })
 *
 * export const total = defineProjection('total', { version: 1, initial: () => ({ cents: 0n }) }).on(
 *   deposited,
 *   (state, event) => ({ cents: state.cents + event.payload.amount }),
 * )
 *
 * export const balances = defineProjection('balances', { version: 1, keyed: true, initial: () => ({ cents: 0n }) }).on(
 *   deposited,
 *   (state, event) => ({ cents: state.cents + event.payload.amount }),
 *   { key: (event) => event.payload.accountId },
 * )
 * ```
 */
export function defineProjection<State>(
  name: string,
  options: KeyedProjectionOptions<State>,
): KeyedProjection<State>
export function defineProjection<State>(
  name: string,
  options: StateProjectionOptions<State>,
): StateProjection<State>
export function defineProjection(name: string, options: TableProjectionOptions): TableProjection
export function defineProjection<State>(
  name: string,
  options: KeyedProjectionOptions<State> | StateProjectionOptions<State> | TableProjectionOptions,
): KeyedProjection<State> | StateProjection<State> | TableProjection {
  const where = `defineProjection(${shown(name)})`
  requireName('defineProjection', name)
  rejectUnknownOptions(where, options, [
    'version',
    'mode',
    'rebuildRate',
    'initial',
    'state',
    'stateVersion',
    'upcastState',
    'keyed',
    'table',
    'cacheSize',
    'tables',
    ...runOptions,
  ])
  requireWhole(where, 'version', options.version, 1)
  checkRunOptions(where, options)
  requireAliases(where, name, options.aliases)
  if (options.mode === 'inline' && (options.aliases ?? []).length > 0) {
    throw invalid(
      `${where} is inline and has aliases`,
      'Publishers of the version before know it by its old name: make it async, rename it, and make it inline again.',
    )
  }
  if (options.rebuildRate !== undefined) requireWhole(where, 'rebuildRate', options.rebuildRate, 1)
  if ('table' in options && !('keyed' in options && options.keyed)) {
    throw invalid(
      `${where} has a "table" but is not keyed`,
      'Add `keyed: true` for a row of each key, or write `tables: ["…"]` yourself in handlers.',
    )
  }
  if ('tables' in options && 'initial' in options) {
    throw invalid(
      `${where} has both "initial" and "tables"`,
      'State, or tables: define two projections if you need both.',
    )
  }
  if ('initial' in options && typeof options.initial === 'function') {
    checkStateVersion(where, options)
    if (options.mode === 'inline' && (options.stateVersion ?? 1) > 1) {
      throw invalid(
        `${where} is inline and has a "stateVersion"`,
        'Publishers of the version before could not read its state: raise `version` instead.',
      )
    }
    if (options.keyed === true) return keyedProjection(where, name, options)
    if ('partitions' in options) {
      throw invalid(
        `${where} has "partitions" but one state`,
        'Add `keyed: true`: the states of different keys can be folded side by side.',
      )
    }
    return new StateProjection(name, options, new Map())
  }
  if ('tables' in options && Array.isArray(options.tables) && options.tables.length > 0) {
    return new TableProjection(name, options, new Map())
  }
  throw invalid(
    `${where} has neither state nor tables`,
    'Give it `initial: () => state`, or `tables: ["…"]` with the tables that it owns.',
  )
}

function keyedProjection<State>(
  where: string,
  name: string,
  options: KeyedProjectionOptions<State>,
): KeyedProjection<State> {
  if (options.cacheSize !== undefined) requireWhole(where, 'cacheSize', options.cacheSize, 0)
  if (options.table !== undefined) checkTableOptions(where, options.table)
  if (options.mode === 'inline') {
    throw invalid(
      `${where} is keyed and cannot be inline`,
      'Use a table projection with `mode: "inline"`, or leave it async and use `waitFor`.',
    )
  }
  return new KeyedProjection(name, options, new Map())
}

function invalid(message: string, hint: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', message, { hint })
}
