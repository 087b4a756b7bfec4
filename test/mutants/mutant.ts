/** A piece of text in a file of the repository that stands there once, and what is put in its place. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** The code broken in one way, and the tests that have to notice. */
export interface Mutant {
  /** What is broken, as a sentence. */
  readonly breaks: string
  readonly edits: readonly Edit[]
  /** The names of tests by their file, as they stand in its source. */
  readonly tests: Readonly<Record<string, readonly string[]>>
}

/** The mutants of one guarantee. */
export interface MutantGroup {
  /** As in docs/guarantees.md: `G1 Atomic publish`. */
  readonly guarantee: string
  readonly mutants: readonly Mutant[]
}

/** What goes wrong when an edit no longer fits the code. */
export class StaleMutant extends Error {}

/**
 * The text with the edit made.
 *
 * @throws StaleMutant when the text to find is not there exactly once.
 */
export function applyEdit(text: string, { file, find, replace }: Edit): string {
  const found = text.split(find).length - 1
  if (found !== 1) {
    throw new StaleMutant(
      `${file}: the text of a mutant stands there ${found} times, not once. Write the mutant anew, so that it breaks the present code in the same way:\n${find}`,
    )
  }
  return text.replace(find, () => replace)
}

/** What the titles of a test match that is named as in its source: `${…}`, `$name` and `%i` stand for anything. */
export function titlePattern(name: string): RegExp {
  const literal = name
    .split(/\$\{[^}]*\}|\$\w+|%\w/u)
    .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/gu, '\\$&'))
  return new RegExp(`^${literal.join('.*')}$`, 'u')
}

/** The pins that docs/guarantees.md names in the sections of the guarantees: `file: name`. */
export function pinsOf(document: string): string[] {
  const sections = document.split(/^## /mu).filter((section) => /^G\d/u.test(section))
  const pins = sections.flatMap((section) =>
    [...section.matchAll(/`(test\/[\w/.-]+\.test\.ts)`:\s+"([^"]+)"/gu)].map(
      ([, file, name]) => `${file ?? ''}: ${(name ?? '').replaceAll(/\s+/gu, ' ')}`,
    ),
  )
  return [...new Set(pins)].toSorted()
}

/** The tests of a mutant, as pins are written. */
export function testsOf({ tests }: Mutant): string[] {
  return Object.entries(tests).flatMap(([file, names]) => names.map((name) => `${file}: ${name}`))
}
