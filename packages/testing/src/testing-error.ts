/** What can go wrong in this package, as the stable part of a {@link TestingError}. */
export type TestingErrorCode =
  /** No directory with `initdb` and `postgres` was found, or this account cannot use it. */
  | 'TIDEMARK_TESTING_NO_BINARIES'
  /** The server, or `initdb` before it, ended or hung instead of getting ready. */
  | 'TIDEMARK_TESTING_START_FAILED'
  /** The data directory can't be used: another major version, or out of the server's reach. */
  | 'TIDEMARK_TESTING_DIRECTORY'
  /** The server that was asked for cannot do this, or this option does not apply to it. */
  | 'TIDEMARK_TESTING_UNSUPPORTED'
  /** The server or the database has been stopped or disposed of already, or is not there yet. */
  | 'TIDEMARK_TESTING_NOT_RUNNING'
  /** A test left something behind: a connection, a lock, a transaction, a lease or a timer. */
  | 'TIDEMARK_TESTING_LEAK'
  /** There is work left when the time is over, a listener has halted, or nobody runs any. */
  | 'TIDEMARK_TESTING_NOT_IDLE'
  /** Under some schedule of faults an invariant does not hold. */
  | 'TIDEMARK_TESTING_INVARIANT'

/** The error of this package: a stable `code`, and a `hint` that says what to do about it. */
export class TestingError extends Error {
  override readonly name: string = 'TestingError'
  /** Stable: test for this and not for the message. */
  readonly code: TestingErrorCode
  /** The remedy, in one or two sentences. */
  readonly hint: string

  constructor(code: TestingErrorCode, message: string, hint: string, cause?: unknown) {
    super(`${message}\n  Hint: ${hint}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.hint = hint
  }
}

/**
 * Refuses options that do not exist, which a program without types would otherwise not notice.
 *
 * @throws {@link TestingError} `TIDEMARK_TESTING_UNSUPPORTED`, naming the options that there are.
 */
export function rejectUnknownOptions(
  where: string,
  options: object,
  known: Readonly<Record<string, true>>,
): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue
    throw new TestingError(
      'TIDEMARK_TESTING_UNSUPPORTED',
      `${where} has no option "${name}"`,
      `Its options are ${Object.keys(known).join(', ')}.`,
    )
  }
}
