import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common'
import { map, type Observable } from 'rxjs'
import { isJobResult } from 'tidemark'
import { outputOf } from './handlers.ts'

/**
 * Unwraps what a handler answers when it is the result of `Job.run`: the output, or it throws what the run has failed
 * with, so that exception filters and error trackers see it. Bind it with `@UseInterceptors(UnwrapInterceptor)`, or for
 * all handlers with `app.useGlobalInterceptors(new UnwrapInterceptor())`.
 */
export class UnwrapInterceptor implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next
      .handle()
      .pipe(map((answer: unknown) => (isJobResult(answer) ? outputOf(answer) : answer)))
  }
}
