import { Catch, Injectable, type ArgumentsHost } from '@nestjs/common'
import { BaseExceptionFilter } from '@nestjs/core'

/** Stands for an error tracker. */
@Injectable()
export class ErrorLog {
  readonly errors: { readonly from: string; readonly message: string }[] = []
}

/** Sees whatever fails: requests, and the attempts of jobs and listeners, for which `getType()` is `tidemark`. */
@Catch()
@Injectable()
export class ErrorLogFilter extends BaseExceptionFilter {
  constructor(private readonly log: ErrorLog) {
    super()
  }

  override catch(exception: unknown, host: ArgumentsHost): void {
    const from = host.getType<string>()
    const message = exception instanceof Error ? exception.message : String(exception)
    this.log.errors.push({ from, message })
    // There is nobody to answer to in other cases: the job is tried again, or has failed.
    // oxlint-disable-next-line promise/valid-params -- a filter's method, not a promise's
    if (from === 'http') super.catch(exception, host)
  }
}
