import { Injectable } from '@nestjs/common'
import { Job, Listener, On } from '@tidemark/nestjs'
import { exponential, type EventOf, type HandlerContext } from 'tidemark'
import { z } from 'zod'
import { orderPlaced } from '../orders/order-placed.ts'
import { MailServer } from './mail-server.ts'

const letter = z.object({ to: z.email(), text: z.string() })

/** Thanks for orders: the letter is a job, spawned in the transaction in which the event is handled. */
@Injectable()
@Listener('letters.thanks')
export class Letters {
  constructor(private readonly mail: MailServer) {}

  @On(orderPlaced)
  async thank({ payload }: EventOf<typeof orderPlaced>, { spawn }: HandlerContext): Promise<void> {
    await spawn('send_letter', { to: payload.email, text: `Thank you for order ${payload.id}.` })
  }

  @Job('send_letter', { input: letter, retry: { attempts: 2, backoff: exponential('10ms', '1s') } })
  async send({ input }: Job<z.output<typeof letter>>): Promise<void> {
    await this.mail.deliver(input.to, input.text)
  }
}
