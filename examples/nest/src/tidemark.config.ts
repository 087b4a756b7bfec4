import { NestFactory } from '@nestjs/core'
import { tidemarkOf } from '@tidemark/nestjs'
import { AppModule } from './app.module.ts'

process.env['TIDEMARK_START'] = 'no'

/** What the command line loads, once it is compiled: `tidemark --config dist/src/tidemark.config.js doctor`. */
export default tidemarkOf(
  await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] }),
)
