import { bulkBody, scheduleBody, ticksQuery } from '../jobs/requests.ts'
import {
  answer,
  inlineSchema,
  jsonBody,
  operation,
  problem,
  queryParameters,
  type Json,
} from './parts.ts'

const empty = { requestBody: jsonBody({ type: 'object', maxProperties: 0 }) }

/** The paths of selections, schedules and pauses. */
export function planningPaths(): Json {
  const schedule = nameParameter('schedule', 'The name of the schedule.')
  const change = (action: string): [string, Json] => [
    `/schedules/{schedule}/${action}`,
    {
      parameters: [schedule],
      post: operation(`${action}Schedule`, `${capital(action)} a schedule`, 'Schedule', empty),
    },
  ]
  const hold = (what: string, path: string, parameter: Json, action: string): [string, Json] => [
    `${path}/${action}`,
    {
      parameters: [parameter],
      post: operation(`${action}${capital(what)}`, `${capital(action)} a ${what}`, 'Pauses', empty),
    },
  ]
  const queue = nameParameter('queue', 'The name of the queue.')
  const type = nameParameter('name', 'The name of the type of job.')
  return {
    ...Object.fromEntries(['cancel', 'pause', 'resume', 'retry', 'delete'].map(bulkPath)),
    '/schedules': { get: operation('listSchedules', 'List the schedules', 'Schedules') },
    '/schedules/{schedule}': {
      parameters: [schedule],
      get: operation('getSchedule', 'Look at a schedule', 'Schedule'),
      put: operation('putSchedule', 'Make or change a schedule at run time', 'Schedule', {
        requestBody: jsonBody(inlineSchema(scheduleBody)),
      }),
      delete: {
        operationId: 'removeSchedule',
        summary: 'Remove a schedule that was made at run time',
        responses: { 204: { description: 'It is gone.' }, default: problem() },
      },
    },
    '/schedules/{schedule}/ticks': {
      parameters: [schedule],
      get: operation('listTicks', 'The ticks that have passed, the latest first', 'Ticks', {
        parameters: queryParameters(ticksQuery),
      }),
    },
    ...Object.fromEntries(['pause', 'resume'].map(change)),
    '/schedules/{schedule}/run': {
      parameters: [schedule],
      post: {
        operationId: 'runSchedule',
        summary: 'Spawn the job of a schedule now',
        ...empty,
        responses: { 202: answer('It exists', 'Spawned'), default: problem() },
      },
    },
    '/pauses': { get: operation('listPauses', 'What is paused, and what waits', 'Pauses') },
    ...Object.fromEntries(
      ['pause', 'resume'].flatMap((action) => [
        hold('queue', '/queues/{queue}', queue, action),
        hold('type', '/types/{name}', type, action),
      ]),
    ),
  }
}

function bulkPath(verb: string): [string, Json] {
  return [
    `/bulk/${verb}`,
    {
      post: operation(`${verb}Jobs`, `${capital(verb)} all jobs of a selection`, 'Bulk', {
        requestBody: jsonBody(inlineSchema(bulkBody)),
      }),
    },
  ]
}

function nameParameter(name: string, description: string): Json {
  return { name, in: 'path', required: true, description, schema: { type: 'string' } }
}

function capital(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1)
}
