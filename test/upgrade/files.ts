/** The present schema, for people. */
export const schemaFile: URL = new URL('../../migrations/schema.sql', import.meta.url)

/** What stands above it. */
export const schemaHeader = `-- The schema as it is when all migrations are applied, without partitions. Written by npm run snapshot; do not edit.

`

/** One snapshot for each release. */
export const snapshotFolder: URL = new URL('snapshots/', import.meta.url)
