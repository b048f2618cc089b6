/** @file What a schema would have accepted at a place where something else was given. */
import { z } from 'zod'

export type Path = readonly PropertyKey[]
type JsonSchema = z.core.JSONSchema.JSONSchema

/**
 * The keys that an object may have at a path. They are read from the schema's JSON Schema, which is public and small,
 * where zod's own structure is neither.
 */
export function knownKeys(schema: z.ZodType, path: Path, value: unknown): string[] {
  let nodes = alternatives(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }), value)
  for (const [depth, key] of path.entries()) {
    const given = valueAt(value, path.slice(0, depth + 1))
    nodes = nodes.flatMap((node) => child(node, key)).flatMap((node) => alternatives(node, given))
  }
  return [...new Set(nodes.flatMap(keysOf))]
}

/** The keys of an object, or those that a record may have. */
function keysOf({ properties = {}, propertyNames }: JsonSchema): string[] {
  const names = isSchema(propertyNames) ? (propertyNames.enum ?? []) : []
  return [...Object.keys(properties), ...names.map(String)]
}

/** A schema and the members of its unions and intersections, without those whose constants contradict the given value. */
function alternatives(node: JsonSchema, given: unknown): JsonSchema[] {
  const constants = Object.entries(node.properties ?? {}).filter(
    ([, property]) => isSchema(property) && 'const' in property,
  )
  const contradicted = constants.some(([key, property]) => (property as JsonSchema).const !== valueAt(given, [key]))
  const members = [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.allOf ?? [])].filter(isSchema)
  return contradicted ? [] : [node, ...members.flatMap((member) => alternatives(member, given))]
}

function child(node: JsonSchema, key: PropertyKey): JsonSchema[] {
  const inner = typeof key === 'number' ? node.items : (node.properties?.[String(key)] ?? node.additionalProperties)
  return isSchema(inner) ? [inner] : []
}

const isSchema = (node: unknown): node is JsonSchema => isObject(node)
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** What is at a path of a value; undefined where the path leads nowhere. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => (isObject(inner) ? Reflect.get(inner, key) : undefined), value)
}
