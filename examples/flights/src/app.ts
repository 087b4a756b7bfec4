import { defineApp, type App } from 'tidemark'
import { dashboard } from './dashboard.ts'
import * as events from './events.ts'
import { routes } from './routes.ts'
import { vouchers } from './vouchers.ts'

/** Everything that consumes events here. */
export const listeners = [dashboard, routes, vouchers] as const

/**
 * How long a lease lasts without being renewed, and so how long the listeners of a killed worker stand still.
 * The library's own 10 s would make for a dull minute.
 */
export const leaseDuration = 3_000

/** The application, the same in the workers that run it and in the process that publishes. */
export function openApp(connectionString: string): App {
  return defineApp({ connectionString, modules: [events, ...listeners] })
}
