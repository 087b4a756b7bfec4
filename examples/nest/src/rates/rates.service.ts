import { setTimeout as pause } from 'node:timers/promises'
import { Injectable } from '@nestjs/common'
import { DistributedLock, heldLock } from '@tidemark/nestjs'

/** Stands for what asks a bank for exchange rates. */
@Injectable()
export class Rates {
  available = true

  async fetch(): Promise<Record<string, number>> {
    if (!this.available) throw new Error('the bank does not answer')
    return { USD: 1.09, GBP: 0.86 }
  }

  /**
   * Publishes the rates: one call at a time in the whole cluster, others are skipped and answer undefined.
   *
   * @param takes - how long it takes, in milliseconds.
   */
  @DistributedLock('rates.publish', { ttl: '10s' })
  async publish(takes: number): Promise<string | undefined> {
    const lock = heldLock()
    await pause(takes, undefined, lock === undefined ? {} : { signal: lock.signal })
    // What stores them writes the token beside them, and refuses a smaller one.
    return `published under token ${lock?.token}`
  }
}
