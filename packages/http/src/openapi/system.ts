import { kindOf } from '../access/access.ts'
import { parametersOf, type Route } from '../system/route.ts'
import { systemRoutes } from '../system/routes.ts'
import { answer, inlineSchema, jsonBody, operation, queryParameters, type Json } from './parts.ts'

/** The paths of what is not about single jobs, from the routes themselves. */
export function systemPaths(): Json {
  const paths: Json = {
    '/access': {
      get: operation('getAccess', 'What whoever asks may do here', 'Access'),
    },
  }
  for (const route of systemRoutes) {
    const item = (paths[route.path] ??= itemOf(route)) as Json
    item[route.method] = operationOf(route)
  }
  return paths
}

function itemOf(route: Route): Json {
  const names = parametersOf(route)
  return names.length === 0
    ? {}
    : {
        parameters: names.map((name) => ({
          name,
          in: 'path',
          required: true,
          description:
            name === 'sequence' ? 'The sequence of an event.' : `The name of the ${name}.`,
          schema:
            name === 'sequence' ? { type: 'string', pattern: '^\\d{1,18}$' } : { type: 'string' },
        })),
      }
}

function operationOf({ id, summary, query, body, answer: name, action, streams }: Route): Json {
  const described = operation(id, summary, name, {
    'x-tidemark-action': action,
    ...(query === undefined ? {} : { parameters: queryParameters(query) }),
    ...(kindOf(action) === 'steer'
      ? { requestBody: jsonBody(body === undefined ? {} : inlineSchema(body)) }
      : {}),
  })
  if (streams !== true) return described
  const responses = described['responses'] as Json
  const { description } = answer(summary, name)
  return {
    ...described,
    responses: {
      ...responses,
      200: {
        description,
        content: { 'text/event-stream': { schema: { $ref: `#/components/schemas/${name}` } } },
      },
    },
  }
}
