import { shown } from '../../errors/checked-text.ts'
import { field } from '../../errors/foreign-value.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { isThenable } from '../../errors/user-code.ts'
import type { App } from './app.ts'

/**
 * Throws TIDEMARK_INVALID_OPTION for what is no application: a promise of one that nobody has awaited, say. For packages that
 * build on this one.
 *
 * @param where - what takes the application, for the message.
 *
 * @example
 * ```ts
 * import { defineApp, requireApp } from 'tidemark'
 *
 * requireApp('createReport', defineApp({ modules: [] }))
 * ```
 */
export function requireApp(where: string, app: unknown): asserts app is App {
  // Not by its class: it may be of another copy of the package.
  if (typeof field(app, 'schema') === 'string' && typeof field(app, 'transaction') === 'function')
    return
  const isPromise = isThenable(app)
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where} needs an application, not ${isPromise ? 'a promise' : shown(app)}`,
    { hint: isPromise ? 'Await it first.' : 'It is what `defineApp({ … })` answers.' },
  )
}
