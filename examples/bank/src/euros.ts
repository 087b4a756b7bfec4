/** Cents as people read them: `1,234.50 €`. */
export function euros(cents: bigint): string {
  const sign = cents < 0n ? '-' : ''
  const digits = (cents < 0n ? -cents : cents).toString().padStart(3, '0')
  const whole = digits.slice(0, -2).replaceAll(/\B(?=(?:\d{3})+$)/gu, ',')
  return `${sign}${whole}.${digits.slice(-2)} €`
}
