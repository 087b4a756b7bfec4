/** The text of a config with two events, a listener that fails on request, and three projections. */
export const appConfig = `
import { defineApp, defineEvent, defineListener, defineProjection } from 'tidemark'
import { z } from 'zod'

const opened = defineEvent('accounts.opened', {
  payload: z.object({ id: z.string(), amount: z.bigint(), at: z.date() }),
})
const noted = defineEvent('accounts.noted', { payload: z.object({ text: z.string() }) })

const letters = defineListener('letters', { retry: { attempts: 1 } }).on(noted, async (event, { tx }) => {
  if (event.payload.text === 'bad' && (await tx.query('select from lenient')).rowCount === 0) {
    throw new Error('no such address')
  }
  await tx.query('insert into letters values ($1)', [event.payload.text])
})
const count = defineProjection('count', { version: 1, initial: () => ({ opened: 0 }) })
  .on(opened, (state) => ({ opened: state.opened + 1 }))
const notes = defineProjection('notes', { version: 1, tables: ['notes'] })
  .on(noted, async (event, { tx }) => {
    await tx.query('insert into notes values ($1)', [event.payload.text])
  })
const inlined = defineProjection('inlined', { version: 1, mode: 'inline', initial: () => 0 })
  .on(opened, (state) => state + 1)

export default defineApp({ modules: [{ opened, noted, letters, count, notes, inlined }] })
`

/** The tables that the handlers of {@link appConfig} write. */
export const appTables = `
  create table letters (text text);
  create table notes (text text);
  create table lenient (yes boolean)`
