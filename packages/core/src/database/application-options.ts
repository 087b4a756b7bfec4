/** The options that an application takes: what migrates for it is given them whole. */
export const applicationOptions = [
  'modules',
  'schema',
  'logger',
  'connectionString',
  'listenConnectionString',
  'connection',
  'maxConnections',
  'queryTimeout',
  'preparedStatements',
  'publishQueue',
  'outputs',
  'jobs',
  'contextStore',
  'locks',
  'db',
  'pool',
] as const
