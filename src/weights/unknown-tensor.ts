import { UserError } from '../errors.ts'
import { nearestName } from '../nearest-name.ts'

/** The complaint about a tensor that a file or folder does not have, with the name that may have been meant. */
export function unknownTensor(name: string, names: readonly string[], where: string): UserError {
  const nearest = nearestName(name, names)
  const fix = nearest ? `did you mean ${nearest}?` : `it has ${names.length} tensors, such as ${names[0] ?? 'none'}`
  return new UserError({ what: `no tensor ${name}`, where, fix })
}
