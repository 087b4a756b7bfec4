import { inOrder, type Place } from '../backend/place.ts'

/**
 * Places in the order of lists. A page is found by halving and read off: no list sorts, or looks at, all there is.
 */
export class OrderedPlaces {
  // From the last of a list to its first: what is new is mostly created last, and comes to the end.
  readonly #places: Place[] = []

  add(place: Place): void {
    this.#places.splice(this.#indexOf(place), 0, place)
  }

  remove(place: Place): void {
    const index = this.#indexOf(place)
    const found = this.#places[index]
    if (found !== undefined && inOrder(found, place) === 0) this.#places.splice(index, 1)
  }

  /** Those after a place; all without one. Nothing may be added or removed while they are read. */
  *after(place: Place | undefined): Generator<Place> {
    let index = place === undefined ? this.#places.length : this.#indexOf(place)
    while (index > 0) {
      index -= 1
      yield this.#places[index] as Place
    }
  }

  /** Where a place is, or would be. */
  #indexOf(place: Place): number {
    let low = 0
    let high = this.#places.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (inOrder(this.#places[middle] as Place, place) > 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
