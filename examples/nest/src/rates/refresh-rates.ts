import { Injectable } from '@nestjs/common'
import { Scheduled, type JobRunnable } from '@tidemark/nestjs'
import { Rates } from './rates.service.ts'

/** Every morning at six in Berlin, in one of the processes. */
@Injectable()
@Scheduled('rates.refresh', {
  cron: process.env['RATES_CRON'] ?? '0 6 * * *',
  timeZone: 'Europe/Berlin',
  retry: { attempts: 1 },
  description: 'Fetches the exchange rates.',
})
export class RefreshRates implements JobRunnable {
  constructor(private readonly rates: Rates) {}

  async run(): Promise<Record<string, number>> {
    return this.rates.fetch()
  }
}
