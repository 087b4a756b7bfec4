/** What can go wrong with state in stores. */
export const storeCodes = {
  TIDEMARK_STATE_EXISTS: {
    summary: 'A state was to be created under a key that has one.',
    example: '"import-1" exists, in version 3',
    remedy: 'Another was first. Read it, or use `put`, which takes either.',
  },
  TIDEMARK_STATE_MISSING: {
    summary: 'A state that was to be changed is not there: never was, was deleted or has expired.',
    example: 'there is no state "import-1" to update',
    remedy: 'Create it, or use `put`, which takes either.',
  },
  TIDEMARK_STATE_CONFLICT: {
    summary: 'A state has another version than the one that a write expects.',
    example: '"import-1" has version 4, and this update expects 3',
    remedy: 'Read the state again, and decide on what it is now.',
  },
  TIDEMARK_STATE_FENCED: {
    summary: 'A write has an older fencing token than the state that it would overwrite.',
    example: '"import-1" was written with token 8, and this update has 7',
    remedy:
      'Whoever writes is not the holder any more: it was frozen, or its lock ran out. Stop the work. A state that was once written with a token takes no write without one.',
  },
  TIDEMARK_STATE_TOO_LARGE: {
    summary: 'A value is larger than its store takes.',
    example: 'the value of "import-1" has 512000 bytes, and the dynamodb store takes 380000',
    remedy: 'Compress it, keep its large parts elsewhere, or take a store that holds larger ones.',
  },
  TIDEMARK_STATE_UNREADABLE: {
    summary:
      'A stored value cannot be read: it is damaged, or what it was written with is missing.',
    example: 'the value of "import-1" is not JSON',
    remedy:
      'Give the store the codec and the keys that it was written with. The value itself is untouched.',
  },
  TIDEMARK_STORE_UNAVAILABLE: {
    summary:
      'A store cannot be reached, does not answer in time, or refuses for a reason of its own.',
    example: 'the redis store did not answer within 5000 ms',
    remedy:
      'A write that ended so may have happened or not: write again with the same token, or read. Check the address, the credentials and the state of the server.',
  },
  TIDEMARK_STATE_REQUEST_INVALID: {
    summary: 'A line that came over the socket of a state service is no request.',
    example: 'the line has 2097152 bytes, and may have 1048576',
    remedy:
      'Send one JSON object a line, as docs/state-service.md says. The connection stays open: the next line is read.',
  },
  TIDEMARK_STATE_SOCKET_UNUSABLE: {
    summary: 'A state service cannot listen on its socket.',
    example: '/run/tidemark/state.sock is served by another process',
    remedy:
      'Stop the other service, or choose another path: in a folder that exists and that this user may write to, of at most 100 bytes.',
  },
  TIDEMARK_STATE_SERVICE_FAILED: {
    summary: 'A state service that was to be started as a child has ended before it was ready.',
    example: 'the state service ended with exit code 1: /run/none is no folder',
    remedy: 'The last lines of its log say why. Most often a setting or the backend is wrong.',
  },
} as const
