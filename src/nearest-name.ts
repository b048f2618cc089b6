/** @file The name that was meant by one that does not exist. */
import { distance } from 'fastest-levenshtein'

/** Above this fraction of letters to change, two names have nothing to do with each other. */
const MAX_CHANGED = 0.4

/** The known name nearest to a mistyped one, upper and lower case alike; undefined where none is near, or where it is known. */
export function nearestName(mistyped: string, known: readonly string[]): string | undefined {
  const candidates = known
    .map((name) => ({ name, changes: distance(mistyped.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, changes }) => changes <= MAX_CHANGED * Math.max(name.length, mistyped.length))
    .sort((a, b) => a.changes - b.changes)
  return candidates[0]?.name === mistyped ? undefined : candidates[0]?.name
}
