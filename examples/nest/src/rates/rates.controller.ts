import { Controller, Get, Post, Query, UseInterceptors } from '@nestjs/common'
import { Job, UnwrapInterceptor } from '@tidemark/nestjs'
import type { JobResult } from 'tidemark'
import { Rates } from './rates.service.ts'

@Controller('rates')
@UseInterceptors(UnwrapInterceptor)
export class RatesController {
  constructor(private readonly rates: Rates) {}

  /** Here and now, with the logs and the span of a job. The interceptor throws what a failed run has failed with. */
  @Get()
  fetch(): Promise<JobResult<Record<string, number>>> {
    return Job.run('rates.fetch', () => this.rates.fetch(), { triggeredBy: 'http' })
  }

  @Post('publish')
  async publish(@Query('takes') takes = '0'): Promise<{ published: string | null }> {
    return { published: (await this.rates.publish(Number(takes))) ?? null }
  }
}
