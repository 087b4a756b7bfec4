/** What is sent. */
export interface Mail {
  readonly to: string
  readonly subject: string
  readonly body: string
}

/** Stands for a mail server outside of the bank, which knows a message that it has been given before by its id. */
export class MailServer {
  readonly sent: Map<string, Mail> = new Map()

  async send(id: string, mail: Mail): Promise<void> {
    this.sent.set(id, mail)
  }
}

export const mailServer: MailServer = new MailServer()
