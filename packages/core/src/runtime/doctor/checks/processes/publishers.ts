import { describePublisher, type Publisher } from '../../../../outbox/ordered/publishers.ts'
import { findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

/** The transactions that hold the horizon back, when they have done so for long. */
export const publishers: Check = {
  name: 'publishers',
  look: async ({ app, publisherAge }) => {
    const { ok, failed } = findings('publishers')
    const all = await app.outbox.publishers()
    // One whose age is hidden from this user may be as old as any.
    const long = all.filter(({ ageSeconds }) => (ageSeconds ?? Infinity) * 1000 >= publisherAge)
    if (long.length === 0) {
      return [
        ok(
          all.length === 0
            ? 'nobody is publishing'
            : `${plural(all.length, 'transaction')} publishing, none for long`,
          all,
        ),
      ]
    }
    return long.map((publisher) =>
      failed('publisher-stuck', describePublisher(publisher), remedy(publisher), publisher),
    )
  },
}

function remedy({ pid, prepared }: Publisher): string {
  if (pid === null) {
    return prepared === null
      ? 'Find it in pg_prepared_xacts, then COMMIT PREPARED or ROLLBACK PREPARED it.'
      : `COMMIT PREPARED '${prepared}', or ROLLBACK PREPARED it.`
  }
  return `Let it commit. If it never will: SELECT pg_terminate_backend(${pid}), which rolls it back.`
}
