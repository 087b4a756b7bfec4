/** What can go wrong with listeners and their dead letters. */
export const listenerCodes = {
  TIDEMARK_CURSOR_AHEAD: {
    summary:
      "A cursor is beyond the outbox's last sequence: the database was restored from an older backup, or rewound.",
    example: 'the cursor of balances is at 500, but the last sequence is 42',
    remedy:
      'Find out what was lost. Then reset the listener to a sequence that exists, with `tidemark listener reset`.',
  },
  TIDEMARK_LEASE_LOST: {
    summary: 'Another process took over the listener partition; this batch was rolled back.',
    example: 'balances (partition 0) is run by another process now',
    remedy:
      'Nothing: the new owner continues. If it happens often, look for event-loop stalls or raise `leaseDuration`.',
  },
  TIDEMARK_HANDLER_FAILED: {
    summary: 'A handler threw.',
    example: 'letters failed on event 42 (accounts.opened): no such address',
    remedy:
      'Read the cause and the sequence in the details; the event is retried, then the listener halts until it is resumed.',
  },
  TIDEMARK_HANDLER_TIMEOUT: {
    summary:
      'A handler ran past its timeout; its connection was destroyed and its transaction rolled back.',
    example: 'letters took more than 30000 ms for event 42 (accounts.opened)',
    remedy: 'Move slow and external work into a job, observe `signal`, or raise `handlerTimeout`.',
  },
  TIDEMARK_EVENT_KILLS: {
    summary: 'The process died three times while it handled the event.',
    example: 'letters: the process died 3 times while it handled event 42 (accounts.opened)',
    remedy:
      'Look for memory exhaustion, a native crash or process.exit in the handler. The event was set aside by policy, or the listener halted.',
  },
  TIDEMARK_UNKNOWN_DEAD_LETTER: {
    summary: 'No dead letter matches.',
    example: 'letters has no such dead letter',
    remedy: 'See what there is with `tidemark dead-letter list`.',
  },
  TIDEMARK_LISTENER_HALTED: {
    summary: 'The listener has halted on an event that it could not handle.',
    example: 'letters has halted at 41 and will not reach 42',
    remedy:
      'Look at its last error (`tidemark listener show`), deploy a fix, then `tidemark listener resume`.',
  },
  TIDEMARK_NOT_HALTED: {
    summary: 'An event was to be skipped, but the listener has not halted on it.',
    example: 'letters has not halted on an event',
    remedy:
      'Look at the listener (`tidemark listener show`): it may have been resumed meanwhile, or it waits for its next attempt.',
  },
  TIDEMARK_UNKNOWN_LISTENER: {
    summary: 'No listener or projection has this name.',
    example: 'no listener or projection is named "leters"',
    remedy:
      'Check the spelling against `tidemark listener list`; a listener appears once a process that defines it has started.',
  },
  TIDEMARK_WAIT_TIMEOUT: {
    summary: 'A listener did not reach the sequence in time.',
    example: 'letters (active) is at 41, not yet at 42, after 10000 ms',
    remedy: 'The details say how far it has come and its status. Is a process running it?',
  },
} as const
