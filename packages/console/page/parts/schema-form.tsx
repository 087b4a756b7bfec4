import type { JSX } from 'preact'
import { useId } from 'preact/hooks'
import type { Schema } from '../data/types.ts'
import { SelectField, TextField } from './field.tsx'

type Values = Readonly<Record<string, unknown>>

/** Whether a form can be made of a schema; else its value is written as JSON. */
export function hasForm(schema: Schema | null): schema is Schema & { properties: object } {
  return schema?.type === 'object' && Object.keys(schema.properties ?? {}).length > 0
}

/** A field for each property of an object. What is left empty is left out. */
export function SchemaForm({
  schema,
  value,
  onChange,
}: {
  readonly schema: Schema
  readonly value: Values
  readonly onChange: (value: Values) => void
}): JSX.Element {
  const set = (name: string, inner: unknown): void => {
    const { [name]: _, ...others } = value
    onChange(inner === undefined ? others : { ...others, [name]: inner })
  }
  return (
    <>
      {Object.entries(schema.properties ?? {}).map(([name, property]) => (
        <PropertyField
          key={name}
          name={name}
          schema={property}
          required={schema.required?.includes(name) === true}
          value={value[name]}
          onChange={(inner) => set(name, inner)}
        />
      ))}
    </>
  )
}

interface PropertyProps {
  readonly name: string
  readonly schema: Schema
  readonly required: boolean
  readonly value: unknown
  readonly onChange: (value: unknown) => void
}

function PropertyField({ name, schema, required, value, onChange }: PropertyProps): JSX.Element {
  if (schema.enum !== undefined) {
    const options = schema.enum.map((one) => [JSON.stringify(one), String(one)] as const)
    return (
      <SelectField
        label={required ? `${name} (needed)` : name}
        value={value === undefined ? '' : JSON.stringify(value)}
        options={[['', '–'], ...options]}
        onChange={(text) => onChange(text === '' ? undefined : JSON.parse(text))}
      />
    )
  }
  if (schema.type === 'boolean') {
    return (
      <SelectField
        label={required ? `${name} (needed)` : name}
        value={value === undefined ? '' : JSON.stringify(value)}
        options={[
          ['', '–'],
          ['true', 'yes'],
          ['false', 'no'],
        ]}
        onChange={(text) => onChange(text === '' ? undefined : text === 'true')}
      />
    )
  }
  if (hasForm(schema)) {
    return (
      <fieldset class="form">
        <legend>{name}</legend>
        <SchemaForm schema={schema} value={(value ?? {}) as Values} onChange={onChange} />
      </fieldset>
    )
  }
  if (schema.type === 'string' || schema.type === 'integer' || schema.type === 'number') {
    const help = [schema.description, schema.format]
      .filter((text) => text !== undefined)
      .join(' · ')
    return (
      <TextField
        label={name}
        required={required}
        value={typeof value === 'string' || typeof value === 'number' ? String(value) : ''}
        help={help === '' ? undefined : help}
        placeholder={schema.default === undefined ? '' : JSON.stringify(schema.default)}
        onChange={(text) => onChange(text === '' ? undefined : scalar(schema, text))}
      />
    )
  }
  return (
    <JsonField label={required ? `${name} (needed)` : name} value={value} onChange={onChange} />
  )
}

/** A number where one is meant and JavaScript can hold it; the server reads large ones from their text. */
function scalar(schema: Schema, text: string): unknown {
  if (schema.type === 'string') return text
  const number = Number(text)
  const exact =
    Number.isFinite(number) && (schema.type === 'number' || Number.isSafeInteger(number))
  return exact ? number : text
}

/** Any value, written as JSON. */
export function JsonField({
  label,
  value,
  onChange,
}: {
  readonly label: string
  readonly value: unknown
  readonly onChange: (value: unknown) => void
}): JSX.Element {
  const id = useId()
  const change = (area: HTMLTextAreaElement): void => {
    try {
      onChange(area.value.trim() === '' ? undefined : JSON.parse(area.value))
      area.setCustomValidity('')
    } catch (error) {
      area.setCustomValidity(`This is not JSON: ${(error as Error).message}`)
      area.reportValidity()
    }
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        spellcheck={false}
        onChange={({ currentTarget }) => change(currentTarget)}
        defaultValue={value === undefined ? '' : JSON.stringify(value, null, 2)}
      />
      <span class="help">JSON</span>
    </div>
  )
}
