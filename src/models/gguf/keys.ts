/** @file One architecture's keys in a file's metadata, each checked for its kind as it is asked for. */
import { UserError } from '../../errors.ts'
import type { Metadata, MetadataValue } from '../../weights/gguf/header.ts'

/** Keys are given without the architecture's name that begins them: `block_count`. */
export type Keys = {
  /** What the messages call the file. */
  path: string
  /** A whole number from 1 to 2²⁴. @throws UserError where it is missing or another kind of value */
  count(key: string): number
  /** A positive number, as the shortest decimal that is the same float32. @throws UserError as `count` */
  positive(key: string): number
  optionalCount(key: string): number | undefined
  optionalPositive(key: string): number | undefined
  optionalText(key: string): string | undefined
  optionalFlag(key: string): boolean | undefined
  /** @throws UserError where a key is there with another value: it asks for what is not computed here */
  expect(key: string, value: MetadataValue): void
}

const MAX_COUNT = 2 ** 24 // the longest context and the largest vocabulary so far are a few million

export function keysOf(metadata: Metadata, architecture: string, path: string): Keys {
  const full = (key: string) => `${architecture}.${key}`
  const refusal = (key: string, what: string) =>
    new UserError({ what: `${full(key)} ${what}`, where: path, fix: 'use a file that llama.cpp has converted' })

  function optional<T>(key: string, parse: (value: MetadataValue) => T | undefined, kind: string): T | undefined {
    const value = metadata.get(full(key))
    if (value === undefined) return undefined
    const parsed = parse(value)
    if (parsed !== undefined) return parsed
    throw refusal(key, `is ${describe(value)}, not ${kind}`)
  }
  const required = <T>(key: string, value: T | undefined): T => {
    if (value !== undefined) return value
    throw refusal(key, 'is missing')
  }
  const optionalCount = (key: string) =>
    optional(key, (value) => (isCount(value) ? value : undefined), `a whole number from 1 to ${MAX_COUNT}`)
  const optionalPositive = (key: string) =>
    optional(key, (value) => (isPositive(value) ? shortest(value) : undefined), 'a positive number')

  return {
    path,
    optionalCount,
    optionalPositive,
    count: (key) => required(key, optionalCount(key)),
    positive: (key) => required(key, optionalPositive(key)),
    optionalText: (key) => optional(key, (value) => (typeof value === 'string' ? value : undefined), 'text'),
    optionalFlag: (key) => optional(key, (value) => (typeof value === 'boolean' ? value : undefined), 'true or false'),
    expect(key, wanted) {
      const value = metadata.get(full(key))
      if (value === undefined || value === wanted) return
      throw new UserError({
        what: `${full(key)} is ${describe(value)}, which is not supported`,
        where: path,
        fix: 'choose a model without it',
      })
    },
  }
}

const isCount = (value: MetadataValue): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_COUNT

const isPositive = (value: MetadataValue): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0

/** 0.000009999999747378752 is the float32 of 1e-5, and that is what config.json said. */
function shortest(value: number): number {
  if (Math.fround(value) !== value) return value
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}

function describe(value: MetadataValue): string {
  if (typeof value === 'object') return 'a list'
  const text = JSON.stringify(typeof value === 'bigint' ? String(value) : value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
