import { Module } from '@nestjs/common'
import { APP_FILTER } from '@nestjs/core'
import { ErrorLog, ErrorLogFilter } from './error-log.ts'
import { AdminJobsController } from './jobs.controller.ts'
import { OperatorGuard } from './operator.guard.ts'

@Module({
  providers: [ErrorLog, OperatorGuard, { provide: APP_FILTER, useClass: ErrorLogFilter }],
  controllers: [AdminJobsController],
})
export class AdminModule {}
