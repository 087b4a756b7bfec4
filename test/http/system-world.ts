import { defineEvent, defineJob, defineListener, defineProjection, type Module } from 'tidemark'
import { z } from 'zod'

/** Version 1 had `name` in the place of `owner`. */
export const opened = defineEvent('accounts.opened', {
  version: 2,
  payload: z.object({ id: z.string(), owner: z.object({ name: z.string(), email: z.string() }) }),
  upcast: {
    1: ({ id, name }: { id: string; name: string }) => ({ id, owner: { name, email: '' } }),
  },
})
const welcomed = defineEvent('accounts.welcomed', { payload: z.object({ id: z.string() }) })

export const greet = defineJob('greet', {
  input: z.object({ id: z.string(), secret: z.string() }),
  output: z.object({ secret: z.string() }),
  run: async (job, ctx) => {
    await ctx.step('write', () => ({ secret: job.input.secret }))
    await ctx.transaction(async (tx) => tx.publish(welcomed({ id: job.input.id })))
    return { secret: job.input.secret }
  },
})

/** Greets. */
const greeter = defineListener('greeter').on(opened, async (event, ctx) => {
  await ctx.spawn(greet, { id: event.payload.id, secret: `letter to ${event.payload.owner.email}` })
})

/** Sets aside whom it does not like, in two ways. */
const picky = defineListener('picky', {
  onFailure: 'park',
  retry: { attempts: 1 },
}).on(opened, (event) => {
  const { id } = event.payload
  if (id.startsWith('bad')) throw new Error(`no account ${id.length} for ${id.slice(0, 3)}`)
  if (id.startsWith('odd')) throw new TypeError('this is odd')
})

/** Halts at the account that is named halt. */
const strict = defineListener('strict', {
  onFailure: 'halt',
  retry: { attempts: 1 },
}).on(opened, (event) => {
  if (event.payload.id === 'halt') throw new Error('it stops here')
})

const byId = { key: (event: { readonly payload: { readonly id: string } }) => event.payload.id }

export const accounts = defineProjection('accounts', {
  version: 1,
  keyed: true,
  initial: () => ({ email: '', welcomed: false }),
})
  .on(opened, (state, event) => ({ ...state, email: event.payload.owner.email }), byId)
  .on(welcomed, (state) => ({ ...state, welcomed: true }), byId)

export const total = defineProjection('total', { version: 1, initial: () => ({ accounts: 0 }) }).on(
  opened,
  (state) => ({ accounts: state.accounts + 1 }),
)

/** A small system of everything. */
export const world: Module = { opened, welcomed, greet, greeter, picky, strict, accounts, total }

/** The payload of an account. */
export function account(id: string): { id: string; owner: { name: string; email: string } } {
  return { id, owner: { name: `The ${id}`, email: `${id}@example.com` } }
}
