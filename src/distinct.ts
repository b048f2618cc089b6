/** @file Equal values, met often, as one. */

/** Numbers values in the order in which they are first met; equal ones have one number. */
export function distinct<Value>() {
  const ids = new Map<string, number>()
  const values: Value[] = []
  const idOf = (value: Value): number => {
    const key = JSON.stringify(value)
    const known = ids.get(key)
    if (known !== undefined) return known
    ids.set(key, values.length)
    return values.push(value) - 1
  }
  return { values, idOf }
}
