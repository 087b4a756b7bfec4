/** What one error code means and what to do about it. `docs/errors.md` is generated from this table. */
export interface ErrorCodeEntry {
  readonly summary: string
  /** A message as the library words it, with names and numbers of one case. */
  readonly example: string
  readonly remedy: string
}

/** Every code that a {@link TidemarkError} can carry. Codes are stable: they may be added, never changed. */
export const errorCodes = {
  TIDEMARK_INVALID_OPTION: {
    summary: 'An option is unknown, missing or has a value that cannot work.',
    example: 'publish has no option "expectedversion"',
    remedy:
      'The message names the option, the value and, where one is close, the option that was meant.',
  },
  TIDEMARK_UNSUPPORTED_NODE: {
    summary: 'The version of Node is too old.',
    example: 'Tidemark needs Node 22.12 or newer, and this is Node 20.20.2',
    remedy:
      'Install a newer Node: 24 is what Tidemark is tested with most, 22.12 the oldest that works.',
  },
  TIDEMARK_INVALID_SCHEMA_NAME: {
    summary: 'The name given for the Postgres schema is not a plain identifier.',
    example: `"no-such" cannot name Tidemark's schema`,
    remedy:
      'Use letters, digits and underscores, starting with a letter or underscore, at most 40 characters.',
  },
  TIDEMARK_CONNECTION_FAILED: {
    summary: 'The server could not be reached, or it refused the connection.',
    example: 'connect ECONNREFUSED 127.0.0.1:5432',
    remedy:
      'Check host, port, user, password and database, and that the server accepts connections.',
  },
  TIDEMARK_NO_CONNECTION: {
    summary:
      "All of the pool's connections were in use for too long, or the server did not answer.",
    example: "none of the pool's 10 connections became free within 10000 ms",
    remedy: 'Raise `maxConnections`, keep transactions shorter, or limit how many run at once.',
  },
  TIDEMARK_MISSING_PRIVILEGE: {
    summary: 'The database user may not do what was asked.',
    example: 'permission denied for database app',
    remedy:
      'Run the command as a user who owns the schema or may create it, or grant the privilege that the message names.',
  },
  TIDEMARK_MIGRATION_REQUIRED: {
    summary: "Tidemark's tables are missing or older than this version of the library needs.",
    example: 'schema "tidemark" has no Tidemark tables',
    remedy: 'Run `tidemark migrate up` before the processes that use this version start.',
  },
  TIDEMARK_SCHEMA_TOO_NEW: {
    summary:
      'The database was migrated by a newer version, with a breaking migration that this version does not know.',
    example:
      'schema "tidemark" has the breaking migration 12 narrower, which this version does not know',
    remedy:
      'Deploy a version of Tidemark that knows the migration; this one refuses to start rather than damage data.',
  },
  TIDEMARK_INVARIANT_BROKEN: {
    summary:
      "Something about Tidemark's tables was changed so that events could be skipped or lost: a sequence, a default, logging or a trigger.",
    example: '"tidemark".events_sequence has CACHE 2 instead of 1',
    remedy: 'Run `tidemark doctor`: it names each such change and the statement that mends it.',
  },
  TIDEMARK_MIGRATION_CHANGED: {
    summary: 'A migration that was applied differs from the one that this version carries.',
    example:
      'migration 1 outbox was applied to schema "tidemark" with another text than this version carries',
    remedy:
      'Never edit an applied migration. Restore the released package, or find out who changed the recorded checksum.',
  },
  TIDEMARK_MIGRATION_FAILED: {
    summary: 'A migration raised an error and was rolled back.',
    example: 'relation "events" already exists',
    remedy: 'Read the cause; nothing of the failed migration was kept, the ones before it were.',
  },
  TIDEMARK_TRANSACTION_CLOSED: {
    summary: 'A transaction was used after it had ended.',
    example: 'the transaction has been committed',
    remedy:
      'Await everything that uses `tx` or `db` before the transaction function or the handler returns.',
  },
  TIDEMARK_TRANSACTION_ABORTED: {
    summary:
      'A statement in the transaction failed, its error was swallowed, and Postgres rolled everything back at COMMIT.',
    example: 'a statement failed and its error was swallowed: Postgres rolled the transaction back',
    remedy:
      'Let the error propagate, or run the statement that may fail in a savepoint of its own.',
  },
  TIDEMARK_TRANSACTION_CONTROL: {
    summary:
      'A handler wanted to end, begin or take over the transaction that it runs in. Nothing of the transaction commits.',
    example:
      'the job charge_card 0198c0de may not run ROLLBACK: the transaction is not its own to end',
    remedy:
      'Throw to have everything rolled back; for a part of it make a savepoint: `SAVEPOINT a`, and `ROLLBACK TO a`.',
  },
  TIDEMARK_OUTCOME_REFUSED: {
    summary: 'How an attempt of a job ended was refused by the server; the job has failed instead.',
    example: 'how import_rows 01a20068 ended (suspended) could not be stored: value too long',
    remedy: 'Look at the log of the process that ran it, deploy what mends it, and retry the job.',
  },
  TIDEMARK_CALLBACK_FAILED: {
    summary: 'A function that the application gave for a decision threw, or answered nonsense.',
    example: 'retry.backoff of send_email answered NaN, not a number of milliseconds',
    remedy: 'Mend the function; until then its default is taken where there is one.',
  },
  TIDEMARK_NESTED_TRANSACTION: {
    summary:
      'A `db` was to begin a transaction that cannot be a savepoint, or to end one that is not its own.',
    example: 'this `db` is bound to a running transaction, which is not its own to commit',
    remedy:
      'A transaction begun on the `db` of a handler is a savepoint, without an isolation level of its own. On the `db` of the application use `tidemark.transaction`.',
  },
  TIDEMARK_INVALID_EXECUTOR: {
    summary:
      'The `tx` option cannot run a query, is not in a transaction, or answers something else than rows.',
    example:
      'the `tx` option is not in a transaction: each of its statements would commit on its own',
    remedy:
      "Pass a pg client after BEGIN, a Kysely transaction, or what `fromDrizzle(tx)` and the like make of your ORM's transaction.",
  },
  TIDEMARK_EVENT_DEFINITION: {
    summary: 'An event definition is incomplete or contradicts itself.',
    example: 'defineEvent("accounts.opened") is at version 2 but cannot read version 1',
    remedy:
      'The message says what is missing, for instance the upcaster from one version to the next.',
  },
  TIDEMARK_EVENT_REDEFINED: {
    summary: 'Two definitions claim the same event type.',
    example: 'two definitions claim the event type "accounts.opened" (versions 1 and 2)',
    remedy: 'Export one definition and import it wherever the event is published or handled.',
  },
  TIDEMARK_NAME_TAKEN: {
    summary: 'Two listeners or projections have the same name.',
    example: 'two listeners or projections are named "balances"',
    remedy: 'Names are the identity of a cursor: give each its own.',
  },
  TIDEMARK_INVALID_EVENT: {
    summary: 'A payload does not satisfy the schema of its event.',
    example:
      'the payload of accounts.opened is invalid at amount: Invalid input: expected bigint, received number',
    remedy:
      'The details list each path and what was expected there. Nothing was sent to the database.',
  },
  TIDEMARK_UNSTABLE_SCHEMA: {
    summary: 'A schema does not read back what was written by it.',
    example:
      'the payload of accounts.opened could not be read as it was written: "cents" comes back as something else',
    remedy:
      'A stored value is parsed again whenever it is read. Use `z.codec`, which encodes when it is written and decodes when it is read, or a transform that leaves its own answer as it is. Nothing was sent to the database.',
  },
  TIDEMARK_PAYLOAD_NOT_STORABLE: {
    summary:
      'A value holds something that would not come back as it was: a NUL character, a lone surrogate, a function, a class instance, a cycle.',
    example: 'the payload of accounts.opened cannot be stored: "note" contains a NUL character',
    remedy:
      'The message names the path. Encode binary data as base64 and replace what is not data.',
  },
  TIDEMARK_EVENT_TOO_NEW: {
    summary: 'A stored event has a newer version than this process knows.',
    example: 'event 8100 (orders.placed) has version 2, and this process knows it up to version 1',
    remedy:
      'Nothing is lost: the listener waits for a process with the newer definition. Deploy one, or finish the deploy.',
  },
  TIDEMARK_EVENT_LOSES_CONNECTION: {
    summary:
      'The connection was lost each time that an event was handled alone, while others were served.',
    example:
      'letters lost its connection 10 times while it handled event 8100 (orders.placed), and other connections were served',
    remedy:
      'Look for what ends the session: pg_terminate_backend, a statement that crashes the server, a proxy that cuts large or slow statements.',
  },
  TIDEMARK_EVENT_UNREADABLE: {
    summary:
      'A stored event cannot be decoded, upcast or validated by the definition in this process.',
    example:
      'event 42 (accounts.opened, version 3) cannot be read: this process knows it up to version 2',
    remedy:
      'Deploy a definition that reads it (an upcaster, a wider schema), then resume the listener. The event is not skipped.',
  },
  TIDEMARK_STREAM_CONFLICT: {
    summary:
      'The stream is not at the version that the publisher expected: somebody appended first.',
    example: 'accounts.opened was not published: stream "account-1" is at version 4, not 3',
    remedy: 'Load the stream again, decide again, and publish with its present version.',
  },
  TIDEMARK_DUPLICATE_EVENT: {
    summary: 'The idempotency key was used before.',
    example: 'accounts.opened was not published: idempotency key "request-7" was used by event 42',
    remedy: 'The event is published already (`details.sequence`); nothing is left to do.',
  },
  TIDEMARK_PUBLISH_UNKNOWN: {
    summary:
      'The connection was lost while the event was being published: it may or may not be stored.',
    example: 'the connection was lost while the event was being published',
    remedy: 'Publish again with the same `idempotencyKey`, which makes the retry safe.',
  },
  TIDEMARK_PUBLISH_QUEUE_FULL: {
    summary:
      'More events wait to be published than the process may keep; nothing of this call was sent.',
    example: '100000 events of 31400000 bytes wait to be published already',
    remedy:
      'Await what you publish, or publish lists; the option `publishQueue` of defineApp says how much may wait.',
  },
  TIDEMARK_STREAM_BUSY: {
    summary:
      'Another transaction has held the stream or the idempotency key for longer than a publish waits; nothing of this call was published.',
    example: 'orders.placed was not published: stream "order-7" is held by another transaction',
    remedy:
      'Find the transaction (pg_stat_activity, `tidemark doctor`) and keep it short: publish late in it. How long a publish waits is `publishQueue: { patience }` of defineApp.',
  },
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
  TIDEMARK_INVALID_STATE: {
    summary: 'The state of a projection or a job does not satisfy its schema.',
    example:
      'the stored state of balances is invalid at balance: Invalid input: expected bigint, received string',
    remedy:
      'Deploy a definition that reads it, or raise the version of the projection and let it rebuild. The stored state is untouched.',
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
      'A projection was to be derived from zero, or a listener sent back, but events that it handles were pruned.',
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
  TIDEMARK_UNKNOWN_JOB: {
    summary: 'No job has this id.',
    example: 'there is no job 01a20068-459c-7f5b-ac10-2fa5168fd22c',
    remedy:
      'It may have been removed when its retention ended. List what there is with `jobs.list`.',
  },
  TIDEMARK_UNKNOWN_JOB_TYPE: {
    summary: 'No definition of this application has the name.',
    example: 'no job is named "send_emial"',
    remedy: 'Check the spelling, and that the module which defines the job is among the `modules`.',
  },
  TIDEMARK_UNKNOWN_SCHEDULE: {
    summary: 'No schedule has this name.',
    example: 'there is no schedule "nightly_statments"',
    remedy:
      'List what there is with `jobs.schedules.list`. A schedule that is defined in code appears once a process that defines it has started.',
  },
  TIDEMARK_INVALID_INPUT: {
    summary: "A job's input does not satisfy the schema of its definition.",
    example: 'the input of send_email is invalid at to: Invalid email address',
    remedy:
      'The details list each path and what was expected there. A stored job stays failed, with its input untouched: deploy a definition that reads it, then retry.',
  },
  TIDEMARK_INVALID_OUTPUT: {
    summary: 'What a job answered does not satisfy the output schema of its definition.',
    example:
      'the output of send_email is invalid at messageId: Invalid input: expected string, received undefined',
    remedy:
      'The job has failed and is not tried again by itself: its effects may have happened. Fix the definition, then retry it.',
  },
  TIDEMARK_OUTPUT_UNREADABLE: {
    summary:
      'A large output of a job or step is in a store that this application does not have, or that does not have it.',
    example:
      'an output of job 01a20068-459c-7f5b-ac10-2fa5168fd22c is in the store "bucket", and this application has none',
    remedy:
      'Give `defineApp({ outputs: { store } })` the store of that name, in every process that runs jobs or asks for results. What a store has lost is nowhere else: restore it there, under its key (`details.key`).',
  },
  TIDEMARK_DUPLICATE_JOB: {
    summary: 'An unfinished job has the same unique key.',
    example:
      'sync_customer was not spawned: an unfinished job (01a20068-459c-7f5b-ac10-2fa5168fd22c) has the key "sync c-1"',
    remedy: 'The job is there already (`details.id`). Use another key, or `onDuplicate: "keep"`.',
  },
  TIDEMARK_REQUEST_CHANGED: {
    summary: 'A request has the key of an earlier one, and says something else.',
    example:
      'send_email was not spawned: another request has spawned 01a20068-459c-7f5b-ac10-2fa5168fd22c',
    remedy:
      'Repeat a request with the very same body, and give another request an `Idempotency-Key` of its own.',
  },
  TIDEMARK_JOB_LOST: {
    summary: "The job is not this attempt's any more: it was rescued, settled or taken over.",
    example: "import_rows 01a20068-459c-7f5b-ac10-2fa5168fd22c is not this attempt's any more",
    remedy:
      'Nothing of what the late attempt tried was written. If it happens often, look for event-loop stalls or raise `leaseDuration`.',
  },
  TIDEMARK_JOB_INTERRUPTED: {
    summary: 'A running job was asked to stop: to pause, to cancel, or because its process ends.',
    example: 'import_rows 01a20068-459c-7f5b-ac10-2fa5168fd22c was interrupted: pause',
    remedy: 'Let the error propagate; the job goes on from its last checkpoint when it is resumed.',
  },
  TIDEMARK_JOB_TIMEOUT: {
    summary: 'An attempt ran past the timeout of its job; its transactions were destroyed.',
    example: 'send_email 01a20068-459c-7f5b-ac10-2fa5168fd22c took more than 60000 ms',
    remedy: 'Raise `timeout`, or divide the work into steps.',
  },
  TIDEMARK_JOB_KILLS: {
    summary:
      'Several processes in a row died while they ran the job, the last one with no other job in it.',
    example:
      'import_rows 01a20068-459c-7f5b-ac10-2fa5168fd22c is not run again: 3 processes in a row died while they ran it',
    remedy: 'Look for memory exhaustion, a native crash or process.exit in the job, then retry it.',
  },
  TIDEMARK_DUPLICATE_STEP: {
    summary:
      'Two steps or waits of one job have the same id, or an id belonged to another kind before.',
    example: 'send_mails: the id "send" of this step is taken by a step of the same job',
    remedy:
      'Give each its own id: in a loop add what it is about, `ctx.step(`send ${to}`, …)`. To try a step again use its `retry` option.',
  },
  TIDEMARK_TOO_MANY_STEPS: {
    summary: 'A job has as many steps and waits as one job may have.',
    example:
      'poll_feed 01a20068-459c-7f5b-ac10-2fa5168fd22c has 100000 steps and waits, the most that a job may have',
    remedy: 'Go on as a new job before that, with `ctx.continueAsNew(input)`.',
  },
  TIDEMARK_STEP_TIMEOUT: {
    summary: 'A step took longer than its timeout.',
    example: 'import_rows: the step "fetch" took more than 5000 ms',
    remedy: 'Raise its `timeout`, or let its work end when its signal aborts.',
  },
  TIDEMARK_WAIT_IN_STEP: {
    summary: 'A job waits inside of a step or a transaction, where it could not go on later.',
    example: 'remind: "patience" waits inside of the step "send"',
    remedy: 'Wait between steps; to try a step again later, give it `retry`.',
  },
  TIDEMARK_JOB_NOT_RESUMABLE: {
    summary: 'An attempt was interrupted, and its job says that it cannot be resumed.',
    example:
      'print_labels 01a20068-459c-7f5b-ac10-2fa5168fd22c was interrupted and is not resumable',
    remedy: 'Find out how far it came; then retry it, or spawn it again.',
  },
  TIDEMARK_CHILD_GONE: {
    summary: 'The child that a job waits for is not there any more.',
    example: 'the child job send_mail 01a20068-459c-7f5b-ac10-2fa5168fd22c was deleted',
    remedy: 'Somebody has deleted it. Retention and `prune` spare what a job waits for.',
  },
  TIDEMARK_JOB_FAILED: {
    summary: 'The job that was waited for has failed or was cancelled.',
    example:
      'job 01a20068-459c-7f5b-ac10-2fa5168fd22c has failed: the mail server refused the letter',
    remedy: 'Read the cause and the attempts of the job; retry it when the reason is gone.',
  },
  TIDEMARK_JOB_STATUS: {
    summary: 'The job is not in a status in which that can be done.',
    example: 'job 01a20068-459c-7f5b-ac10-2fa5168fd22c is completed and cannot be cancelled',
    remedy: 'The details say which status it is in.',
  },
  TIDEMARK_LOCK_LOST: {
    summary: 'A lock was not renewed in time and may be held by another by now.',
    example: 'the lock "rates" was not renewed in time',
    remedy: 'Observe `signal` and stop; raise `ttl` if the event loop is often busy for that long.',
  },
  TIDEMARK_STANDBY: {
    summary: 'The outbox was to be read in order on a standby.',
    example: 'the server is a standby: transactions that publish cannot be seen there',
    remedy:
      'Read it on the primary. A standby serves everything else: streams, projections, and queries of your own.',
  },
  TIDEMARK_BROKER_UNAVAILABLE: {
    summary: 'A broker cannot be reached, does not answer, or refuses for a reason of its own.',
    example: 'orders: the stream ORDERS cannot be reached: connection refused',
    remedy:
      'Nothing is lost: it is tried again until the broker is back. Check its address, credentials and state.',
  },
  TIDEMARK_RELAY_OUTRUN: {
    summary: 'Somebody else wrote to a stream while a relay was writing to it.',
    example: 'the stream ORDERS went on at 8,200 before message 8,201 was stored',
    remedy:
      'The relay looks at the stream again and goes on. When it repeats, find who else writes to the stream.',
  },
  TIDEMARK_RELAY_STREAM_REPLACED: {
    summary: 'The stream of a relay was deleted and made anew.',
    example:
      'orders: the stream ORDERS was made anew at 2026-11-02T10:00:00Z; the one that orders wrote to was made at 2026-10-01T08:00:00Z',
    remedy:
      'When that was meant, `tidemark listener reset` sends the new stream everything from the beginning.',
  },
  TIDEMARK_RELAY_STREAM_SHARED: {
    summary: 'A message in the stream of a relay comes from somebody else.',
    example:
      'orders: the last message of the stream ORDERS comes from no relay, not from this outbox (6f1b…)',
    remedy: 'Give each relay a stream of its own, and let nobody else write to it.',
  },
  TIDEMARK_RELAY_TIP_GONE: {
    summary: "The last message of a relay's stream was deleted, and what it was is not known.",
    example:
      'orders: the last message of the stream ORDERS, at 8200, is gone, and orders has not sent it: it was at 8100',
    remedy:
      'Find out who deleted it; then send everything to a new stream: change `stream` in the definition.',
  },
  TIDEMARK_RELAY_AHEAD: {
    summary: 'The stream of a relay holds events that the outbox does not have (yet).',
    example: 'orders: the stream ORDERS holds event 9000, but the last of the outbox is 8500',
    remedy:
      'The outbox was restored from a backup, or it is the wrong database. Send to a new stream: change `stream` in the definition.',
  },
  TIDEMARK_RELAY_PASSED: {
    summary: 'An event that a relay had left out was to be sent after later ones.',
    example: 'orders: event 8100 was left out, and the stream ORDERS holds later ones by now',
    remedy: 'Discard the dead letter, or publish what it says as a new event.',
  },
  TIDEMARK_RELAY_MESSAGE_REFUSED: {
    summary:
      'An event cannot be sent to a stream: it is too large for the broker, or its subject cannot be one.',
    example:
      'event 8100 (orders.placed) has 2,000,000 bytes, and the broker takes at most 1,048,576',
    remedy:
      "Raise the broker's limit, keep large values out of payloads, mend `subject`; or leave the event out with `onFailure: 'skip'`.",
  },
  TIDEMARK_RELAY_MESSAGE_INVALID: {
    summary: 'A message of a relay was altered and cannot be read.',
    example: "a relay's message cannot be read (event 4e2f…): the body is no JSON",
    remedy:
      'Find out who alters the stream; `tidemark relay verify` names the messages that differ.',
  },
  TIDEMARK_INTAKE_GAP: {
    summary: 'Messages are missing from the stream that an intake reads.',
    example:
      'orders: at 8200 the stream ORDERS goes on with event 9000, which follows 8999, but the last that was taken is 8700',
    remedy:
      'They expired before they were read, or were deleted. Let the relay send everything to a new stream, and raise the retention.',
  },
  TIDEMARK_REQUEST_INVALID: {
    summary: 'A request to the HTTP API says something that it does not understand.',
    example: 'the query is invalid at limit: Too big: expected number to be <=1000',
    remedy: 'The OpenAPI document of the API, at `openapi.json`, says what each request takes.',
  },
  TIDEMARK_REQUEST_DENIED: {
    summary: 'A request to the HTTP API is not allowed.',
    example: 'no one may spawn here',
    remedy:
      'Without an `authorize` hook only clients on the same machine are served. A browser must send JSON, from an origin that is allowed.',
  },
  TIDEMARK_CLOSED: {
    summary: 'The application was closed.',
    example: 'the application is closed',
    remedy: 'Close it after everything that publishes or waits has finished.',
  },
} as const

/** A stable error code. */
export type ErrorCode = keyof typeof errorCodes

/** Whether a text is one of the codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCodes, text)
}
