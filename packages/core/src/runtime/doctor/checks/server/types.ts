import { readStoredTypes } from '../../../../outbox/read/stored-types.ts'
import { findings, plural } from '../../finding.ts'
import { type Check } from '../../patient.ts'

/** Stored types and versions that no definition of the application reads. */
export const types: Check = {
  name: 'types',
  look: async ({ app, quick }) => {
    const { ok, warning, failed } = findings('types')
    if ([...app.registry].length === 0) {
      return [ok('this application defines no events to compare the stored types with')]
    }
    const { types: stored, complete } = await readStoredTypes(
      app.database,
      app.schema,
      app.registry,
      quick ? { newest: 2_000 } : {},
    )
    const looked = complete
      ? ''
      : quick
        ? ' (among the newest)'
        : ' (in a sample: rare types may be missing)'
    const unread = stored.filter(({ readable }) => !readable)
    if (unread.length === 0) {
      return [ok(`definitions read all ${plural(stored.length, 'stored type')}${looked}`, stored)]
    }
    return unread.map((type) => {
      const events = plural(type.events, 'event')
      return type.readAs === null
        ? warning(
            'event-type-unread',
            `no definition reads ${type.type}: ${events}${looked}`,
            `Nothing here handles them. If it was renamed, say so: defineEvent(new name, { aliases: ['${type.type}'] }).`,
            type,
            { kind: 'event type', name: type.type },
          )
        : failed(
            'event-version-unread',
            `${type.type} is stored in version ${type.version}, which is newer than its definition: ${events}${looked}`,
            'Deploy the version of the application that publishes them: listeners of this one stop at such an event.',
            type,
            { kind: 'event type', name: type.type },
          )
    })
  },
}
