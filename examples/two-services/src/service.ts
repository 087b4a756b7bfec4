import type { App } from 'tidemark'
import type { Addresses } from './addresses.ts'

/** @throws Error when one is missing. */
export function addressesOfEnvironment(): Addresses {
  const { DATABASE_URL: database, NATS_URL: nats } = process.env
  if (database === undefined || nats === undefined) {
    throw new Error('Set DATABASE_URL and NATS_URL.')
  }
  return { database, nats }
}

/** Runs an application in this process until the one that started it is gone. */
export async function runService(app: App): Promise<void> {
  process.on('disconnect', () => process.exit())
  // So short that a killed process is replaced soon; the default suits services that are killed less often.
  await app.start({ leaseDuration: 2_000, acquireInterval: 200 })
  process.send?.('started')
}
