/** Stand for services outside of the bank: each answers the same when it is asked the same again. */
export const identityOffice = {
  async check(customerId: string, name: { given: string; family: string }): Promise<string> {
    return `${customerId}: ${name.given} ${name.family} has been seen`
  },
}

export const cardPress = {
  async order(customerId: string): Promise<string> {
    return `card of ${customerId}`
  },
}
