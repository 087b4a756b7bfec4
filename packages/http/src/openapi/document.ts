import type { PublishedJobType } from 'tidemark'
import { z } from 'zod'
import {
  listQuery,
  logQuery,
  patchBody,
  resultQuery,
  signalBody,
  spawnBody,
} from '../jobs/requests.ts'
import { answers } from './answers.ts'
import {
  answer,
  inlineSchema,
  jsonBody,
  operation,
  problem,
  queryParameters,
  type Json,
} from './parts.ts'
import { planningPaths } from './planning.ts'
import { systemAnswers } from './system-answers.ts'
import { systemPaths } from './system.ts'

/** The OpenAPI 3.1 document of the API of jobs, with an operation for each type of job that it can spawn. */
export function openApiDocument(types: readonly PublishedJobType[], basePath: string): object {
  return documentOf(types, basePath, {
    title: 'Jobs',
    description: "Tidemark's jobs: spawning them, following them and steering them.",
    paths: {},
    answers: {},
  })
}

/** The OpenAPI 3.1 document of the API of an application. */
export function systemDocument(types: readonly PublishedJobType[], basePath: string): object {
  return documentOf(types, basePath, {
    title: 'Tidemark',
    description:
      'An application: its events, listeners, projections, dead letters, jobs and processes, to be looked at and steered.',
    paths: systemPaths(),
    answers: systemAnswers,
  })
}

interface Parts {
  readonly title: string
  readonly description: string
  /** Beside those of jobs. */
  readonly paths: Json
  readonly answers: Readonly<Record<string, z.ZodType>>
}

function documentOf(types: readonly PublishedJobType[], basePath: string, parts: Parts): object {
  const { title, description, paths } = parts
  return {
    openapi: '3.1.0',
    info: { title, version: '1.0.0', description },
    servers: [{ url: basePath === '' ? '/' : basePath }],
    paths: {
      ...paths,
      ...generalPaths(),
      ...planningPaths(),
      ...Object.fromEntries(types.map(spawnPath)),
    },
    components: {
      schemas: {
        ...answerSchemas({ ...answers, ...parts.answers }),
        ...Object.fromEntries(types.flatMap(typeSchemas)),
      },
    },
  }
}

function generalPaths(): Json {
  return {
    '/types': { get: operation('listTypes', 'List the types of jobs', 'Types') },
    '/jobs': {
      get: operation('listJobs', 'List jobs, newest first', 'JobPage', {
        parameters: queryParameters(listQuery),
      }),
    },
    '/jobs/{id}': {
      parameters: [idParameter],
      get: operation('getJob', 'Look at a job', 'Job'),
      patch: operation('reprioritiseJob', 'Change the priority of a job', 'Steered', {
        requestBody: jsonBody(inlineSchema(patchBody)),
      }),
      delete: {
        operationId: 'deleteJob',
        summary: 'Delete a finished job',
        responses: { 204: { description: 'It is gone.' }, default: problem() },
      },
    },
    '/jobs/{id}/result': {
      parameters: [idParameter],
      get: operation(
        'getJobResult',
        'What a job has answered. 202 while it has not finished; 409 when it failed or was cancelled.',
        'Result',
        { parameters: queryParameters(resultQuery) },
        { 202: answer('It has not finished', 'Result') },
      ),
    },
    '/jobs/{id}/attempts': {
      parameters: [idParameter],
      get: operation('listJobAttempts', 'List the attempts of a job, in order', 'Attempts'),
    },
    '/jobs/{id}/steps': {
      parameters: [idParameter],
      get: operation('listJobSteps', 'List the steps that a job has finished, in order', 'Steps'),
    },
    '/jobs/{id}/logs': {
      parameters: [idParameter],
      get: operation('listJobLogs', 'What a job has logged, in order', 'Logs', {
        parameters: queryParameters(logQuery),
      }),
    },
    '/jobs/{id}/trace': {
      parameters: [idParameter],
      get: operation(
        'traceJob',
        'What led to a job and what came of it: events, jobs, steps and waits as a tree in the order of reading',
        'Trace',
      ),
    },
    '/jobs/{id}/signals': {
      parameters: [idParameter],
      post: {
        operationId: 'signalJob',
        summary: 'Tell a job something, which is kept until it asks. 409 when it has finished.',
        requestBody: jsonBody(inlineSchema(signalBody)),
        responses: { 202: answer('It is kept', 'Signalled'), default: problem() },
      },
    },
    '/jobs/{id}/progress': { parameters: [idParameter], get: progressOperation },
    ...Object.fromEntries(
      ['cancel', 'pause', 'resume', 'retry'].map((action) => [
        `/jobs/{id}/${action}`,
        {
          parameters: [idParameter],
          post: operation(`${action}Job`, `${capital(action)} a job`, 'Steered', {
            requestBody: jsonBody({ type: 'object', maxProperties: 0 }),
          }),
        },
      ]),
    ),
  }
}

const progressOperation = {
  operationId: 'followJob',
  summary:
    'Follow a job as server-sent events named `progress`: how it stands, then every change, until it has finished.',
  responses: {
    200: {
      description: 'The data of each event is a Progress.',
      content: { 'text/event-stream': { schema: { $ref: '#/components/schemas/Progress' } } },
    },
    204: { description: 'It has finished, and the client (Last-Event-ID) has seen how.' },
    default: problem(),
  },
}

const idParameter = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'The id of the job.',
  schema: { type: 'string', format: 'uuid' },
}

function spawnPath({ name, description, input }: PublishedJobType): [string, Json] {
  const { properties, ...body } = inlineSchema(spawnBody)
  const schema = {
    ...body,
    properties: {
      ...(properties as Json),
      input: input === null ? {} : { $ref: `#/components/schemas/${componentName(name)}Input` },
    },
  }
  return [
    `/types/${encodeURIComponent(name)}/jobs`,
    {
      post: {
        operationId: `spawn_${name.replaceAll(/\W/gu, '_')}`,
        summary: `Spawn ${name}`,
        ...(description === undefined ? {} : { description }),
        parameters: [
          {
            name: 'Idempotency-Key',
            in: 'header',
            description:
              'Makes the request safe to repeat: the same key means the same job. With another body the answer is 422.',
            schema: { type: 'string', minLength: 1, maxLength: 255 },
          },
        ],
        requestBody: jsonBody(schema),
        responses: {
          202: {
            ...answer('It exists, and runs when its turn comes', 'Spawned'),
            headers: {
              Location: { description: 'Where to look at it.', schema: { type: 'string' } },
            },
          },
          default: problem(),
        },
      },
    },
  ]
}

function typeSchemas({ name, input, output }: PublishedJobType): [string, unknown][] {
  return Object.entries({ Input: input, Output: output }).flatMap(([what, schema]) => {
    const component = `${componentName(name)}${what}`
    return schema === null
      ? []
      : [[component, relocated(schema, `#/components/schemas/${component}`)]]
  })
}

/** A schema that stood alone, in its place in the document: what refers to its root refers to that place. */
function relocated(schema: unknown, place: string): unknown {
  if (Array.isArray(schema)) return schema.map((inner: unknown) => relocated(inner, place))
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key]) => key !== '$schema')
      .map(([key, value]: [string, unknown]) => {
        if (key === '$ref' && typeof value === 'string') {
          return [key, value.replace(/^#(?=\/|$)/u, place)]
        }
        // Values, not schemas.
        const plain = ['const', 'default', 'enum', 'examples'].includes(key)
        return [key, plain ? value : relocated(value, place)]
      }),
  )
}

function answerSchemas(all: Readonly<Record<string, z.ZodType>>): Json {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(all)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, {
    io: 'input',
    uri: (id) => `#/components/schemas/${id}`,
  })
  return Object.fromEntries(
    Object.entries(schemas).map(([id, schema]) => [
      id,
      { ...schema, $schema: undefined, $id: undefined },
    ]),
  )
}

function componentName(name: string): string {
  return name
    .split(/[^A-Za-z\d]+/u)
    .map(capital)
    .join('')
}

function capital(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1)
}
