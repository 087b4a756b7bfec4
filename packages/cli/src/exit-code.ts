/** What the process answers; documented in `docs/cli.md`. */
export const exitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  checkFailed: 3,
  cannotConnect: 4,
  uncaught: 5,
} as const

/** One of {@link exitCode}. */
export type ExitCode = (typeof exitCode)[keyof typeof exitCode]
