/** What a projection holds: how many events, and a number that tells whether each came once and in order. */
export interface Digest {
  readonly count: number
  readonly digest: bigint
}

const modulus = 2n ** 61n - 1n

export const nothing: Digest = { count: 0, digest: 0n }

/** Takes in one event. Each release of the application folds otherwise, so that a rebuild shows. */
export function foldEvent({ count, digest }: Digest, sequence: bigint, release: number): Digest {
  return { count: count + 1, digest: (digest * BigInt(31 + release) + sequence) % modulus }
}
