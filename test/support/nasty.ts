import fc from 'fast-check'

/** How many cases a property of bad input tries. `TIDEMARK_RUNS` has it try others. */
export function badInputs(usual: number): number {
  return Number(process.env['TIDEMARK_RUNS'] ?? usual)
}

/** Texts that break out of quotes, of JSON, of what Postgres can hold, and of what a name may be. */
export const nastyText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\0',
    'a\0b',
    '\uD800',
    '%',
    '$$',
    '$1',
    '\\',
    "'",
    '"',
    `"; drop table canary; --`,
    `'; drop table canary; --`,
    `$$; drop table canary; $$`,
    `x"); drop table canary; --`,
    `\\'; drop table canary; --`,
    '/* x',
    '-- x',
    '{}',
    '{"a":1}',
    '[]',
    'null',
    'NaN',
    '-1',
    '0',
    '1e999',
    '9223372036854775807',
    '99999999999999999999',
    '../..',
    '__proto__',
    'constructor',
    'toString',
    'İ',
    '\u202e',
    'x'.repeat(64),
    'x'.repeat(3_000),
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ maxLength: 20 }),
)
