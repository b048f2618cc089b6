/**
 * @file Configs and other JSON of the user, parsed once at the edge. Every mistake is listed, one a line, in words:
 * `config.json: latent.maxTokns is not a known key; did you mean latent.maxTokens?`
 */
import type { z } from 'zod'
import { UserError } from '../errors.ts'
import { nearestName } from '../nearest-name.ts'
import { knownKeys, type Path, valueAt } from './known-keys.ts'

type Issue = z.core.$ZodIssue
type Mistake = { message: string; kind: 'missing' | 'unknown' | 'wrong'; path: string; meant?: string }

/**
 * The value as the schema resolves it, defaults filled in. For strictness, make its objects `z.strictObject`. The message
 * of a schema's own refinement should read on from the key: 'must be smaller than capacity'.
 * @param where  what the user knows the value by: 'config.json', '--latent'
 * @throws UserError with all mistakes, one a line
 */
export function parseConfig<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const mistakes = result.error.issues.flatMap(nearestMember).flatMap((issue) => explain(issue, schema, value))
  const meant = new Set(mistakes.map((mistake) => mistake.meant))
  const lines = mistakes
    .filter(({ kind, path }) => !(kind === 'missing' && meant.has(path))) // mistyping a key is one mistake, not two
    .map(({ message }) => message)
  throw new UserError({ what: lines.join(`\n${where}: `), where })
}

/** A union's issue is replaced by those of the member that the user seems to have meant, where one has the right type. */
function nearestMember(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const rightType = issue.errors.filter((issues) => !issues.some(isWrongType)).sort((a, b) => a.length - b.length)
  if (rightType.length === 0) return [issue]
  return rightType[0].map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })).flatMap(nearestMember)
}

const isWrongType = ({ code, path }: Issue) =>
  path.length === 0 && (code === 'invalid_type' || code === 'invalid_value')

function explain(issue: Issue, schema: z.ZodType, value: unknown): Mistake[] {
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(key, issue.path, schema, value))
  const path = showPath(issue.path)
  const given = valueAt(value, issue.path)
  const demand = demandOf(issue)
  if (given === undefined)
    return [{ kind: 'missing', path, message: `${path} is missing${demand ? `; it must be ${demand}` : ''}` }]
  const meant = typeof given === 'string' ? nearestName(given, wordsOf(issue)) : undefined
  const hint = meant === undefined ? '' : `; did you mean ${JSON.stringify(meant)}?`
  const own = issue.code === 'custom' ? `${path} ${issue.message}` : `${path}: ${issue.message}`
  return [{ kind: 'wrong', path, message: demand ? `${path} must be ${demand}, got ${show(given)}${hint}` : own }]
}

function unknownKey(key: string, parent: Path, schema: z.ZodType, value: unknown): Mistake {
  const path = showPath([...parent, key])
  const known = knownKeys(schema, parent, value)
  const nearest = nearestName(key, known)
  if (nearest !== undefined) {
    const meant = showPath([...parent, nearest])
    return { kind: 'unknown', path, meant, message: `${path} is not a known key; did you mean ${meant}?` }
  }
  const list = known.length ? `; known are ${known.join(', ')}` : ''
  return { kind: 'unknown', path, message: `${path} is not a known key${list}` }
}

/** What a value must be, to follow "must be"; undefined where only the issue's own message says it. */
function demandOf(issue: Issue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return typeNames[issue.expected] ?? `a ${issue.expected}`
    case 'invalid_value':
      return anyOf(issue.values.map(show))
    case 'invalid_union':
      return anyOf(issue.errors.length ? issue.errors.flatMap(rootDemands) : wordsOf(issue).map(show)) || undefined
    case 'too_small':
      return `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${unitOf(issue.origin, issue.minimum)}`
    case 'too_big':
      return `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${unitOf(issue.origin, issue.maximum)}`
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`
    case 'invalid_format':
      return issue.pattern ? `a string that matches ${issue.pattern}` : `a string of format ${issue.format}`
    default:
      return undefined
  }
}

/** Types by the words of someone who writes JSON. */
const typeNames: Record<string, string> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  null: 'null',
  object: 'an object',
  record: 'an object',
}

const rootDemands = (issues: readonly Issue[]) =>
  issues.filter(({ path }) => path.length === 0).flatMap((issue) => demandOf(issue) ?? [])

function unitOf(origin: string, count: number | bigint): string {
  const isOne = Number(count) === 1
  if (origin === 'string') return isOne ? ' character long' : ' characters long'
  if (origin === 'array') return isOne ? ' entry long' : ' entries long'
  return ''
}

/** The words among which the user had to choose, where there is such a choice. */
function wordsOf(issue: Issue): string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String)
  if (issue.code === 'invalid_union')
    return issue.errors.length ? issue.errors.flat().flatMap(wordsOf) : discriminatorsOf(issue)
  return []
}

/** The values of a discriminated union's key, when the given one is none of them. */
const discriminatorsOf = (issue: Issue) => ('options' in issue ? (issue.options ?? []).map(String) : [])

/** "latent.maxTokens", "prompts[3].text". */
const showPath = (path: Path) =>
  path.reduce<string>(
    (shown, key) => (typeof key === 'number' ? `${shown}[${key}]` : shown ? `${shown}.${String(key)}` : String(key)),
    '',
  ) || 'it'

const MAX_SHOWN = 60 // characters of a wrong value; enough to find it

function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

const anyOf = (demands: readonly string[]) => [...new Set(demands)].join(' or ')
