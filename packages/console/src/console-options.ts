import type { ApiOptions } from '@tidemark/http'

/**
 * How {@link createConsole} serves: the options of the API below it, which decides who may look, steer and see payloads.
 * Without `authorize` only clients on this machine are served.
 */
export interface ConsoleOptions extends ApiOptions {
  /** What the page is called, where several are open: `'Bank, staging'`. Defaults to the name of the schema. */
  readonly title?: string
}
