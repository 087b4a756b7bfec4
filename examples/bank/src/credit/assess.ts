/** What the bank looks at before it lends. All amounts in cents. */
export interface Application {
  readonly amount: bigint
  readonly monthlyIncome: bigint
  /** What the customer owes already. */
  readonly exposure: bigint
}

/** What comes of it: yes, no, or a person has to look. */
export type Verdict =
  | { readonly outcome: 'approve' }
  | { readonly outcome: 'review' }
  | { readonly outcome: 'decline'; readonly reason: string }

const reviewFrom = 50_000_00n
const mostMonths = 12n

/** The bank's rules, free of any database, so that a test needs none. */
export function assess({ amount, monthlyIncome, exposure }: Application): Verdict {
  if (exposure + amount > monthlyIncome * mostMonths) {
    return { outcome: 'decline', reason: 'it is more than a year of your income' }
  }
  return amount >= reviewFrom ? { outcome: 'review' } : { outcome: 'approve' }
}
