/** The account of a customer. Each has one, and its id is the customer's: nobody has to look it up. */
export function accountOf(customerId: string): string {
  return customerId
}

/** The stream with the entries of an account. */
export function accountStream(accountId: string): string {
  return `account-${accountId}`
}
