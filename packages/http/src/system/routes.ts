import { auditRoutes } from './audit.ts'
import { consumerRoutes } from './consumers.ts'
import { deadLetterRoutes } from './dead-letters.ts'
import { eventRoutes } from './events.ts'
import { projectionRoutes } from './projections.ts'
import type { Route } from './route.ts'
import { wholeRoutes } from './whole.ts'

/** All routes of the system that are not about single jobs. */
export const systemRoutes: readonly Route[] = [
  ...wholeRoutes,
  ...eventRoutes,
  ...consumerRoutes,
  ...projectionRoutes,
  ...deadLetterRoutes,
  ...auditRoutes,
]
