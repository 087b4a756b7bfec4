/** What can go wrong with jobs, schedules and locks. */
export const jobCodes = {
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
  TIDEMARK_VALUE_UNREADABLE: {
    summary:
      'A value of a job was written by a codec (compressed, encrypted) and cannot be read: the codec or its key is missing, or the value was changed, moved or put back.',
    example:
      'the step "charge" of job 01a20068-459c-7f5b-ac10-2fa5168fd22c cannot be read: it is encrypted with the key "2025", which is not among the keys',
    remedy:
      'Give `defineApp({ jobs: { codec } })` the codec and the keys that it was written with, in every process that runs jobs or asks for results, then retry the job. The value itself is untouched.',
  },
  TIDEMARK_OUTPUT_UNREADABLE: {
    summary:
      'A large output of a job or step is in a store that this application does not have, that does not have it, or that does not answer.',
    example:
      'an output of job 01a20068-459c-7f5b-ac10-2fa5168fd22c is in the store "bucket", and this application has none',
    remedy:
      'Give `defineApp({ outputs: { store } })` the store of that name, in every process that runs jobs or asks for results. What a store has lost is nowhere else: restore it there, under its key (`details.key`).',
  },
  TIDEMARK_NO_CONTEXT_STORE: {
    summary: 'A job uses what needs a context store, and its context is kept in none.',
    example: 'the context of import_rates is kept in no store',
    remedy:
      'Give the application one, `defineApp({ contextStore: s3({ … }) })`, and name the job in its `jobs` if it has such a list. Transactional jobs have no document.',
  },
  TIDEMARK_UNKNOWN_CONTEXT: {
    summary:
      'A context store has nothing of a job: it has not begun, has finished, or is not kept.',
    example: 'the store "contexts" has no context of a job 01a20068-459c-7f5b-ac10-2fa5168fd22c',
    remedy:
      'Wait until the job has begun. A job that was deleted has no document any more, and what has finished takes no files.',
  },
  TIDEMARK_FILE_UNREADABLE: {
    summary: 'A file of a job is not there, or is not what was written.',
    example:
      'the file "rates.csv" of import_rates 01a20068-459c-7f5b-ac10-2fa5168fd22c cannot be read: its hash is another',
    remedy:
      'Somebody has changed the object in the store. Restore it, or run the job anew: nothing else has it.',
  },
  TIDEMARK_UNKNOWN_REFERENCE: {
    summary: 'A reference such as `{{steps.fetch.output.id}}` leads to nothing.',
    example: '{{steps.fetch.output.idd}} refers to nothing that is there',
    remedy:
      'The hint lists what there is. A step can be referred to when it has ended well; put a backslash before braces that are no reference.',
  },
  TIDEMARK_DUPLICATE_JOB: {
    summary: 'An unfinished job has the same unique key.',
    example:
      'sync_customer was not spawned: an unfinished job (01a20068-459c-7f5b-ac10-2fa5168fd22c) has the key "sync c-1"',
    remedy: 'The job is there already (`details.id`). Use another key, or `onDuplicate: "keep"`.',
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
  TIDEMARK_JOB_UNCAUGHT: {
    summary:
      'The code of a job threw where nothing could catch it: in a timer, an event handler, a promise that nobody awaits.',
    example:
      'import_rows 01a20068-459c-7f5b-ac10-2fa5168fd22c threw where nothing could catch it: socket hang up',
    remedy:
      'Await every promise, and handle the `error` event of every emitter. The attempt counts as failed, and its process stops.',
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
  TIDEMARK_CHILD_CYCLE: {
    summary: 'A job was to wait for a child that waits for the job itself: neither would ever end.',
    example:
      'sync_customer 01a20068-459c-7f5b-ac10-2fa5168fd22c would wait for itself: sync_customer 01a20068-459c-7f5b-ac10-2fa5168fd22c has the unique key of the child, and waits for it',
    remedy: 'Give the child another unique key, or spawn it without waiting (`tx.spawn`).',
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
} as const
