import type { ComponentChildren, JSX } from 'preact'
import { useId, useRef } from 'preact/hooks'

/** A named input. */
export function TextField({
  label,
  value,
  onChange,
  help,
  type = 'text',
  placeholder,
  required = false,
}: {
  readonly label: string
  readonly value: string
  readonly onChange: (value: string) => void
  readonly help?: ComponentChildren
  readonly type?: 'text' | 'number'
  readonly placeholder?: string
  readonly required?: boolean
}): JSX.Element {
  const id = useId()
  // What is typed and not yet given: the screen around it is drawn again with each look, and must not take it back.
  const typed = useRef<{ readonly over: string; readonly text: string } | undefined>(undefined)
  if (typed.current?.over !== value) typed.current = undefined
  const attributes = {
    id,
    value: typed.current?.text ?? value,
    autoComplete: 'off',
    spellcheck: false,
    onInput: ({ currentTarget }: { currentTarget: HTMLInputElement }): void => {
      typed.current = { over: value, text: currentTarget.value }
    },
    onChange: ({ currentTarget }: { currentTarget: HTMLInputElement }): void =>
      onChange(currentTarget.value),
    ...(placeholder === undefined ? {} : { placeholder }),
    ...(help === undefined ? {} : { 'aria-describedby': `${id}-help` }),
  }
  return (
    <div class="field">
      <label for={id}>
        {label}
        {required ? ' (needed)' : ''}
      </label>
      {type === 'number' ? (
        <input type="number" {...attributes} />
      ) : (
        <input type="text" {...attributes} />
      )}
      {help !== undefined && (
        <span class="help" id={`${id}-help`}>
          {help}
        </span>
      )}
    </div>
  )
}

/** A choice of few. */
export function SelectField({
  label,
  value,
  options,
  onChange,
}: {
  readonly label: string
  readonly value: string
  readonly options: readonly (readonly [value: string, text: string])[]
  readonly onChange: (value: string) => void
}): JSX.Element {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {options.map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
    </div>
  )
}

/** A choice of names, with what was given kept even where it is not among them. */
export function NameFilter({
  label,
  value,
  names,
  onChange,
  all = 'all',
}: {
  readonly label: string
  readonly value: string
  readonly names: readonly string[]
  readonly onChange: (value: string) => void
  readonly all?: string
}): JSX.Element {
  const known = value === '' || names.includes(value) ? names : [value, ...names]
  const options = [['', all] as const, ...known.map((name) => [name, name] as const)]
  return <SelectField label={label} value={value} options={options} onChange={onChange} />
}
