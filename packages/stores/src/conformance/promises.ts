/** What every backend promises, in the order of the table in the documentation. */
export const promises = {
  'one-creator': 'Of 20 that create a key at once, one does',
  'one-updater': 'Of 20 that change one version at once, one does',
  zombie: 'A late write with an older token changes nothing',
  'zombie-deleted': 'A late write does not bring a deleted state back',
  'zombie-expired': 'A late write does not bring an expired state back',
  'no-token': 'A fenced state takes no write without a token',
  'lost-answer': 'A write that is repeated because its answer was lost happens once',
  exact: 'Values come back exactly as they were',
  keys: 'Keys may hold any characters',
  partial: 'An update leaves what it does not name',
  missing: 'What is not there is not changed and not deleted',
  versions: 'Versions go on after a deletion',
  ttl: 'A state is gone when its time is over',
  filters: 'Lists are filtered by status, name, time and fields',
  moved: 'A state that ended and came again is listed as what it is now',
  pages: 'Pages hold each state once, while others come and go',
  batches: 'Each write of a batch holds or not by itself',
  sync: 'sync finds and mends what is missing, older and extra',
  own: 'What a caller does to an answer does nothing to the store',
  refusals: 'What no store could mean is refused, and misspelt conditions with it',
  large: 'A value that is too large is refused with its size',
  sweep: 'sweep leaves what lives and what is remembered',
  watch: 'Changes are told to those who watch',
  killed: 'Killed and restarted in the middle, the server has every write that it confirmed',
  down: 'Without its server, a store says so in time',
  'half-open': 'On connections whose other end has gone silent, a store says so in time',
} as const

/** The name of a promise. */
export type PromiseName = keyof typeof promises
