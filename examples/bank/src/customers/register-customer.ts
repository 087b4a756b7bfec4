import type { App } from 'tidemark'
import { customerRegistered } from './events.ts'

/** A person, as the counter clerk or the web form knows them. */
export interface NewCustomer {
  readonly customerId: string
  readonly name: { readonly given: string; readonly family: string }
  readonly email: string
}

/** Registers a customer: the row and the event commit together. */
export function registerCustomer(tidemark: App, customer: NewCustomer) {
  const { customerId, name, email } = customer
  return tidemark.transaction(async (tx) => {
    await tx.db
      .insertInto('customers')
      .values({ id: customerId, name: `${name.given} ${name.family}`, email })
      .execute()
    tx.publish(customerRegistered({ customerId, name, email }), {
      stream: `customer-${customerId}`,
      expectedVersion: 'none',
    })
  })
}
