/** The bank says no: for reasons of business, which no retry will change. */
export class BankError extends Error {
  override readonly name = 'BankError'
}
