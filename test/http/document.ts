import formats from 'ajv-formats'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { ApiClient } from './client.ts'

/** A parameter of an operation. */
export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly schema: Record<string, unknown>
}

/** What the document says of a route. */
export interface Operation {
  readonly operationId: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> }
  readonly responses: Record<
    string,
    { readonly content?: Record<string, { schema: { $ref?: string } }> }
  >
}

/** The document that an API serves. */
export interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, object> }
}

/** The document of an API. */
export async function served(client: ApiClient): Promise<Document> {
  return (await client.get('/openapi.json')).body as unknown as Document
}

/** Says what a schema of the document objects to in a value. */
export function judgeBy(document: Document): (pointer: string, value: unknown) => unknown[] {
  const ajv = new Ajv2020({ strict: false })
  formats.default(ajv)
  ajv.addSchema({ $id: 'doc', ...document })
  return (pointer, value) => {
    const validate = ajv.compile({ $ref: `doc${pointer}` })
    validate(value)
    return validate.errors ?? []
  }
}
