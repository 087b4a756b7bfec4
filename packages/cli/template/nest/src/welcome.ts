import { Injectable } from '@nestjs/common'
import { Listener, On } from '@tidemark/nestjs'
import { defineEvent, type EventOf, type HandlerContext } from 'tidemark'
import { z } from 'zod'

export const accountOpened = defineEvent('accounts.opened', {
  payload: z.object({ id: z.string(), email: z.email() }),
})

@Injectable()
@Listener('welcome')
export class Welcome {
  @On(accountOpened)
  async write({ payload }: EventOf<typeof accountOpened>, { tx }: HandlerContext) {
    await tx.query('INSERT INTO letters (account, email) VALUES ($1, $2)', [
      payload.id,
      payload.email,
    ])
  }
}
