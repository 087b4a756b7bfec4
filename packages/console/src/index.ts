export type { Peer } from '@tidemark/http'
export { createConsole, type Console } from './console.ts'
export type { ConsoleOptions } from './console-options.ts'
export { OneTimeAccess } from './one-time-access.ts'
