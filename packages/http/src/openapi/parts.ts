import { z } from 'zod'

/** Any part of the document. */
export type Json = Record<string, unknown>

export function inlineSchema(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return rest
}

/** The parameters of a query, from the schema that checks it. */
export function queryParameters(query: z.ZodType): Json[] {
  // Of what the text of the query becomes: numbers are numbers.
  const { properties = {} } = z.toJSONSchema(query, { io: 'output' })
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...schema } = property as Json
    return {
      name,
      in: 'query',
      ...(description === undefined ? {} : { description }),
      schema,
      // A list is one text with commas.
      ...(schema['type'] === 'array' ? { style: 'form', explode: false } : {}),
    }
  })
}

export function operation(
  operationId: string,
  summary: string,
  schema: string,
  more: Json = {},
  responses: Json = {},
): Json {
  return {
    operationId,
    summary,
    ...more,
    responses: { 200: answer(summary, schema), ...responses, default: problem() },
  }
}

export function answer(description: string, schema: string): Json {
  return {
    description,
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
  }
}

export function problem(): Json {
  return {
    description: 'It could not be done.',
    content: {
      'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
    },
  }
}

export function jsonBody(schema: unknown): Json {
  return { required: true, content: { 'application/json': { schema } } }
}
