/** What can go wrong with projections and their rebuilds. */
export const projectionCodes = {
  TIDEMARK_INVALID_STATE: {
    summary: 'The state of a projection or a job does not satisfy its schema.',
    example:
      'the state of balances is invalid at balance: Invalid input: expected bigint, received string',
    remedy: 'Mend the reducer or the schema. What was stored before is untouched.',
  },
  TIDEMARK_PROJECTION_UNREADABLE: {
    summary:
      'A stored state of a projection does not satisfy its schema, or an upcaster failed on it.',
    example:
      'the stored state of balances cannot be read: it is invalid at balance: Invalid input: expected bigint, received string',
    remedy:
      'The projection has halted, and the stored state is untouched. Deploy a definition that reads it (`stateVersion` and `upcastState`) and resume it, or raise the version of the projection and let it rebuild.',
  },
  TIDEMARK_PROJECTION_TOO_NEW: {
    summary: 'A stored state of a projection was written by a newer `stateVersion`.',
    example:
      'the stored state of balances has version 2, and this process knows it up to version 1',
    remedy:
      'Deploy the newer version here too. Workers leave the projection to processes that know it, without counting an attempt.',
  },
  TIDEMARK_CANNOT_REBUILD: {
    summary:
      'A projection cannot be rebuilt beside its live tables, or its rebuild was replaced meanwhile.',
    example:
      'route_delays cannot be rebuilt: a copy of its tables differs in trigger stamped of delays',
    remedy:
      'The message names what stands in the way. Remove it and resume the rebuild, cancel the rebuild, or reset the projection in place.',
  },
  TIDEMARK_CANNOT_RESET: {
    summary:
      'A projection cannot be emptied: rows of other tables would be deleted or changed with its own.',
    example:
      'balances cannot be reset: rows of cards refer by cards_account to rows of its tables, and would be deleted or changed with them',
    remedy:
      'Remove those rows or the foreign key first, or rebuild the projection beside the live tables: what stays the same is not touched.',
  },
  TIDEMARK_EVENTS_PRUNED: {
    summary:
      'A projection was to be derived from zero, a listener sent back, or a job asks for an event, but such events were pruned.',
    example:
      'dashboard cannot be derived from zero: events of its types below 10000000 were pruned',
    remedy:
      'Attach the archived partitions again and delete their rows of `pruned_partitions`, or leave it where it is. `evenPruned` (`--even-pruned`) goes back all the same, to what is left.',
  },
  TIDEMARK_NO_REBUILD: {
    summary: 'The projection is not being rebuilt.',
    example: 'balances is not being rebuilt',
    remedy: 'See what is with `tidemark projection list`.',
  },
  TIDEMARK_MODE_CHANGED: {
    summary: 'A projection changed between inline and async.',
    example: 'balances is inline at version 1 here, but async at version 1 in the database',
    remedy:
      'Both advance the same cursor in different ways. Raise its `version`: it is derived again in the new mode.',
  },
  TIDEMARK_TABLE_MISMATCH: {
    summary: 'A table that a projection writes is not there, or is not as its definition says.',
    example:
      'balances cannot write its table account_balances: it has no column "cent" (did you mean "cents"?)',
    remedy:
      'Change the table, or the `table` of the definition. When the mapping of a projection that has begun changes, raise its version: the rows are derived again.',
  },
  TIDEMARK_TABLE_OWNED: {
    summary:
      'Two projections declare the same table: each of them would delete the other one’s rows.',
    example: 'totals cannot own the table public.sums: balances does (schema tidemark)',
    remedy:
      'Give each projection tables of its own. When the other one is not defined anywhere any more, delete its row of `listeners`.',
  },
} as const
