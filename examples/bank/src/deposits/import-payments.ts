import { isTidemarkError, type App } from 'tidemark'
import { BankError } from '../bank-error.ts'
import { inParallel } from '../in-parallel.ts'
import { accountStream } from './account.ts'
import { deposited } from './events.ts'

/** What became of the lines of a payment file. */
export interface ImportReport {
  readonly booked: number
  /** Lines that were booked before: the file was sent twice, or an import was cut off and started again. */
  readonly known: number
}

/**
 * Books a payment file: lines of `reference;account;amount in cents;text`. Importing it again, or going on after
 * a crash, books nothing twice, since each payment's reference is its idempotency key.
 *
 * @throws BankError for a line that cannot be read, before anything is booked; or for an account that does not
 * exist.
 */
export async function importPayments(tidemark: App, file: string): Promise<ImportReport> {
  const payments = file.trimEnd().split('\n').map(parseLine)
  let known = 0
  await inParallel(8, payments, async ({ reference, accountId, amount, text }) => {
    try {
      await tidemark.publish(deposited({ accountId, amount, text, kind: 'payment' }), {
        stream: accountStream(accountId),
        idempotencyKey: `payment/${reference}`,
      })
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_DUPLICATE_EVENT')) throw error
      known += 1
    }
  })
  return { booked: payments.length - known, known }
}

function parseLine(line: string, index: number) {
  const [reference, accountId, amount = '', text = ''] = line.split(';')
  if (!reference || !accountId || !/^[1-9]\d*$/u.test(amount)) {
    throw new BankError(`line ${index + 1} of the payment file cannot be read: ${line}`)
  }
  return { reference, accountId, amount: BigInt(amount), text }
}
