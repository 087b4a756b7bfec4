import { Injectable } from '@nestjs/common'

/** Stands for a mail server: an application has a client of one here. */
@Injectable()
export class MailServer {
  readonly sent: string[] = []

  async deliver(to: string, _text: string): Promise<void> {
    if (to.endsWith('.invalid')) throw new Error(`no such address: ${to}`)
    this.sent.push(to)
  }
}
