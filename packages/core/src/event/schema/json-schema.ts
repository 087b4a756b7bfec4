import { z } from 'zod'

/** What a schema takes, as JSON Schema; dates and bigints as `fromJson` takes them from JSON. */
export function jsonSchemaOf(schema: z.ZodType): object {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    // What `fromJson` makes of JSON.
    override: ({ zodSchema, jsonSchema: json }) => {
      const { type } = (zodSchema as unknown as z.ZodType).def
      if (type === 'date') Object.assign(json, { type: 'string', format: 'date-time' })
      if (type === 'bigint')
        Object.assign(json, { type: ['integer', 'string'], pattern: '^-?\\d+$' })
    },
  })
}
