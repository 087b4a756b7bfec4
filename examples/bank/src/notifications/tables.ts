/** The tables of this module; no other module reads or writes them. */
export interface NotificationsTables {
  recipients: { customer_id: string; given_name: string; email: string }
  letters: { id: string; customer_id: string; email: string; subject: string; body: string }
}
