import { defineProjection } from 'tidemark'
import { charged, moved } from './events.ts'
import { foldEvent, nothing } from './fold.ts'

/** The projections of a release: each release folds otherwise, so a deploy is a rebuild. */
export function projectionsOf(release: number) {
  const options = { version: release, initial: () => nothing }
  return {
    total: defineProjection('total', options).on(moved, (state, event) =>
      foldEvent(state, event.sequence, release),
    ),
    byAccount: defineProjection('by-account', { ...options, keyed: true, partitions: 3 }).on(
      moved,
      (state, event) => foldEvent(state, event.sequence, release),
      { key: (event) => event.payload.from },
    ),
    rows: defineProjection('rows', {
      ...options,
      keyed: true,
      table: {
        name: 'account_rows',
        key: 'account',
        columns: { count: (state) => state.count, digest: (state) => state.digest },
      },
    }).on(moved, (state, event) => foldEvent(state, event.sequence, release), {
      key: (event) => event.payload.to,
    }),
    entries: defineProjection('entries', { version: release, tables: ['entries'] }).on(
      moved,
      async (event, { tx }) => {
        await tx.query('INSERT INTO entries (sequence, op, release) VALUES ($1, $2, $3)', [
          event.sequence,
          event.payload.op,
          release,
        ])
      },
    ),
    fees: defineProjection('fees', {
      version: 1,
      mode: 'inline',
      initial: () => ({ count: 0, cents: 0n }),
    }).on(charged, ({ count, cents }, event) => ({
      count: count + 1,
      cents: cents + event.payload.cents,
    })),
  }
}

/** The names of those that workers run. */
export const followers: readonly string[] = ['total', 'by-account', 'rows', 'entries']
