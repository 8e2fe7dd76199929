/** One measured figure with its name. */
export function Reading({ name, value, detail }: { name: string; value: string; detail?: string | undefined }) {
  return (
    <div className="reading">
      <dt>{name}</dt>
      <dd>
        {value}
        {detail === undefined ? null : <span className="reading-detail">{detail}</span>}
      </dd>
    </div>
  )
}
