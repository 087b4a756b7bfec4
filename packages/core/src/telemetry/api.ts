import { createRequire } from 'node:module'
import type * as OpenTelemetry from '@opentelemetry/api'

/**
 * The OpenTelemetry API, if the application has it: an optional peer. Loaded synchronously, because a module that
 * awaits at its top level cannot be required.
 */
export const api: typeof OpenTelemetry | undefined = load()

function load(): typeof OpenTelemetry | undefined {
  try {
    return createRequire(import.meta.url)('@opentelemetry/api') as typeof OpenTelemetry
  } catch (error) {
    if ((error as { code?: unknown }).code === 'MODULE_NOT_FOUND') return undefined
    throw error
  }
}
