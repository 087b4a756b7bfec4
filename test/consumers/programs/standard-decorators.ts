// Compiled without `experimentalDecorators`: what Tidemark's decorators do as standard ones.
import 'reflect-metadata'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import {
  DistributedLock,
  heldLock,
  Job,
  Listener,
  On,
  Scheduled,
  tidemarkOf,
  TidemarkModule,
  type JobRunnable,
} from '@tidemark/nestjs'
import { defineEvent, silentLogger, type EventOf, type HandlerContext } from 'tidemark'
import { z } from 'zod'

const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
const input = z.object({ id: z.string() })
const greeted = Promise.withResolvers<string>()

class Greetings {
  readonly hello = 'hello'
}

@Listener('welcome')
class Welcome {
  constructor(private readonly greetings: Greetings) {}

  @On(opened)
  async greet(event: EventOf<typeof opened>, { spawn }: HandlerContext): Promise<void> {
    await spawn('greet', { id: event.payload.id })
  }

  @Job('greet', { input })
  @DistributedLock('greeting')
  async send(job: Job<z.output<typeof input>>): Promise<void> {
    greeted.resolve(`${this.greetings.hello} ${job.input.id} under ${heldLock()?.key}`)
  }
}

@Scheduled('yearly', { cron: '@yearly' })
class Yearly implements JobRunnable {
  run(): void {}
}

class AppModule {}

Module({
  imports: [
    TidemarkModule.forRoot({
      connectionString: process.env['DATABASE_URL'] ?? '',
      migrate: true,
      logger: silentLogger,
    }),
  ],
  providers: [
    Greetings,
    Yearly,
    {
      provide: Welcome,
      inject: [Greetings],
      useFactory: (greetings: Greetings) => new Welcome(greetings),
    },
  ],
})(AppModule)

const nest = await NestFactory.createApplicationContext(AppModule, { logger: false })
await tidemarkOf(nest).publish(opened({ id: 'ada' }))
console.log(await greeted.promise)
console.log((await tidemarkOf(nest).jobs.schedules.list()).map(({ name }) => name))
await nest.close()
