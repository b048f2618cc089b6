import { closest } from 'fastest-levenshtein'

/** What a message offers instead of a name that does not exist. */
export const nearestName = (name: string, names: readonly string[]) =>
  names.length
    ? `the nearest of ${names.length.toLocaleString('en')} names is ${closest(name, [...names])}`
    : 'it has none'
