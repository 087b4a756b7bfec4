/** Does `work` for each item, at most `width` at a time; the first error ends it. */
export async function inParallel<T>(
  width: number,
  items: readonly T[],
  work: (item: T, index: number) => Promise<unknown>,
): Promise<void> {
  const entries = items.entries()
  await Promise.all(
    Array.from({ length: width }, async () => {
      // All workers share one iterator: each takes the next item that nobody has.
      for (const [index, item] of entries) await work(item, index)
    }),
  )
}
