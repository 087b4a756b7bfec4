import type { HandlerContext } from '../listener/handler-context.ts'

/** What a table projection's handler works with: whatever can be done again in a replay. */
export type ProjectionContext = Omit<HandlerContext, 'publish' | 'attempt'>
