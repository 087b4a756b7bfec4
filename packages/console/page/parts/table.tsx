import type { ComponentChildren, JSX } from 'preact'

/** One column of a table. */
export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => ComponentChildren
  readonly align?: 'right'
  /** Whether it takes no more room than it needs. */
  readonly tight?: boolean
  /** Where it is shown: everywhere, not on a phone, or only on a wide screen. Defaults to everywhere. */
  readonly show?: 'if-roomy' | 'if-wide'
}

/** Rows in columns, of which a narrow screen shows fewer. */
export function Table<Row>({
  label,
  rows,
  columns,
  id,
}: {
  readonly label: string
  readonly rows: readonly Row[]
  readonly columns: readonly Column<Row>[]
  readonly id: (row: Row) => string
}): JSX.Element {
  const classes = ({ align, tight, show }: Column<Row>): string =>
    [align ?? '', tight === true ? 'tight' : '', show ?? ''].join(' ').trim()
  return (
    <div class="table-frame">
      <table aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} class={classes(column)} scope="col">
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {columns.map((column) => (
                <td key={column.title} class={classes(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
