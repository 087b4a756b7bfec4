import { TidemarkError } from 'tidemark'

/** A key as one token of a subject: what a token cannot hold is percent-encoded. */
export function tokenOf(key: string): string {
  return encodeURIComponent(key.toWellFormed()).replaceAll('.', '%2E').replaceAll('*', '%2A')
}

/**
 * Checks what is to be a subject: tokens between dots, none of them empty, without blanks and wildcards.
 *
 * @throws TidemarkError TIDEMARK_RELAY_MESSAGE_REFUSED.
 */
export function checkedSubject(what: string, subject: string): string {
  const tokens = typeof subject === 'string' ? subject.split('.') : []
  const valid = tokens.length > 0 && tokens.every((token) => /^[^\s*>\0]+$/u.test(token))
  if (valid && subject.length <= 1024 && subject.isWellFormed()) return subject
  throw new TidemarkError(
    'TIDEMARK_RELAY_MESSAGE_REFUSED',
    `${what} cannot be ${JSON.stringify(subject)?.slice(0, 200)}`,
    {
      hint: 'Tokens between dots, none of them empty, without blanks, * and >.',
      details: { subject },
    },
  )
}
