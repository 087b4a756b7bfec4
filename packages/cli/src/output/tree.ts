/** Each node of a tree in the order of reading, with the lines that lead to it. */
export function treeLines<Node extends { readonly depth: number }>(
  nodes: readonly Node[],
): { readonly branch: string; readonly node: Node }[] {
  const open: boolean[] = []
  // From the end: only then is it known whether another one of the same depth follows.
  return nodes
    .toReversed()
    .map((node) => {
      const { depth } = node
      const branch = Array.from({ length: depth }, (_, level) => {
        if (level < depth - 1) return open[level + 1] === true ? '│  ' : '   '
        return open[depth] === true ? '├─ ' : '└─ '
      }).join('')
      open.length = depth
      open[depth] = true
      return { branch, node }
    })
    .toReversed()
}
