/** What can go wrong with relays and intakes. */
export const relayCodes = {
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
  TIDEMARK_RELAY_STREAM_UNFIT: {
    summary: 'The stream of a relay is set up in a way that loses what it must keep.',
    example: 'the topic orders has cleanup.policy "compact", and needs "delete"',
    remedy:
      'Change what the message names, or let `tidemark relay setup` make the stream under another name. Where the last message of each key is all that readers need, say `keep: "last"`.',
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
} as const
