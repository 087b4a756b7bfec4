import { Controller, UseGuards } from '@nestjs/common'
import { JobsController } from '@tidemark/nestjs'
import { OperatorGuard } from './operator.guard.ts'

/** Runs by hand: `POST /admin/jobs/rates.refresh/runs` answers at once, with the place to ask how it went. */
@Controller('admin/jobs')
@UseGuards(OperatorGuard)
export class AdminJobsController extends JobsController {}
