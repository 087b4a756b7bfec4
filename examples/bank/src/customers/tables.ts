/** The tables of this module; no other module reads or writes them. */
export interface CustomersTables {
  customers: { id: string; name: string; email: string }
}
