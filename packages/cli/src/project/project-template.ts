/** A file that `tidemark init` writes. */
export interface TemplateFile {
  readonly path: string
  readonly text: string
}

const config = `import { defineApp } from 'tidemark'
import * as accounts from './accounts/index.ts'

// The command line and workers run it; where the database is, DATABASE_URL tells them.
export default defineApp({
  modules: [accounts],
  ...(process.env['DATABASE_URL'] ? { connectionString: process.env['DATABASE_URL'] } : {}),
})
`

const events = `import { defineEvent } from 'tidemark'
import { z } from 'zod'

export const accountOpened = defineEvent('accounts.account_opened', {
  payload: z.object({ accountId: z.string(), email: z.email() }),
})

export const accountClosed = defineEvent('accounts.account_closed', {
  payload: z.object({ accountId: z.string() }),
})
`

const projection = `import { defineProjection } from 'tidemark'
import { accountClosed, accountOpened } from './events.ts'

/** How many accounts there are. Its state is stored beside its cursor, in the same transaction. */
export const openAccounts = defineProjection('accounts.open_accounts', {
  version: 1,
  initial: () => ({ open: 0, everOpened: 0 }),
})
  .on(accountOpened, (state) => ({ open: state.open + 1, everOpened: state.everOpened + 1 }))
  .on(accountClosed, (state) => ({ ...state, open: state.open - 1 }))
`

const index = `export * from './events.ts'
export * from './open-accounts.ts'
`

/** The config and a sample module with two events and a projection. */
export const projectFiles: readonly TemplateFile[] = [
  { path: 'tidemark.config.ts', text: config },
  { path: 'accounts/events.ts', text: events },
  { path: 'accounts/open-accounts.ts', text: projection },
  { path: 'accounts/index.ts', text: index },
]

/** For a folder that is no project yet. */
export function packageFile(name: string, version: string): TemplateFile {
  const content = {
    name,
    private: true,
    type: 'module',
    engines: { node: '>=24' },
    dependencies: { '@tidemark/cli': `^${version}`, tidemark: `^${version}`, zod: '^4.0.0' },
    // The Postgres of `tidemark dev`, and of tests.
    devDependencies: { '@tidemark/testing': `^${version}` },
  }
  return { path: 'package.json', text: `${JSON.stringify(content, null, 2)}\n` }
}
