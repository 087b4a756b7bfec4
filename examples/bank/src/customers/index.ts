export { customerRegistered } from './events.ts'
export { importCustomers, type OldCustomer } from './import-customers.ts'
export { openAccount } from './open-account.ts'
export { registerCustomer, type NewCustomer } from './register-customer.ts'
