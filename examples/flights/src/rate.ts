const span = 2_000

/** How fast a number has grown over the last two seconds. */
export class Rate {
  #points: { readonly at: number; readonly value: number }[] = []

  /** Takes a new value. @returns the growth per second. */
  update(at: number, value: number): number {
    this.#points = [...this.#points.filter((point) => at - point.at <= span), { at, value }]
    const [first] = this.#points
    if (first === undefined || first.at === at) return 0
    return Math.max(0, ((value - first.value) / (at - first.at)) * 1000)
  }
}
