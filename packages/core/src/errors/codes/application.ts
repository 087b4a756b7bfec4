/** What can go wrong with defining and using an application. */
export const applicationCodes = {
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
  TIDEMARK_NAME_TAKEN: {
    summary: 'Two listeners or projections have the same name.',
    example: 'two listeners or projections are named "balances"',
    remedy: 'Names are the identity of a cursor: give each its own.',
  },
  TIDEMARK_CLOSED: {
    summary: 'The application was closed.',
    example: 'the application is closed',
    remedy: 'Close it after everything that publishes or waits has finished.',
  },
  TIDEMARK_TOO_EARLY: {
    summary: 'The application was used before all of its definitions were there.',
    example: 'the listener "welcome" came after the application had been used',
    remedy:
      'In a Nest application do not use `Tidemark` in constructors and factories of providers: `onModuleInit` is the first place.',
  },
  TIDEMARK_CALLBACK_FAILED: {
    summary: 'A function that the application gave for a decision threw, or answered nonsense.',
    example: 'retry.backoff of send_email answered NaN, not a number of milliseconds',
    remedy: 'Mend the function; until then its default is taken where there is one.',
  },
} as const
