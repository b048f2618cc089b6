import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { parseConfig } from './strict-config.ts'

const schema = z.strictObject({
  task: z.enum(['infilling', 'continuation']).default('infilling'),
  latent: z.strictObject({ minTokens: z.number().int().default(1), maxTokens: z.number().int().positive() }),
  temperature: z.union([z.number().positive(), z.strictObject({ from: z.number(), to: z.number() })]).default(1),
  prompts: z.array(z.strictObject({ text: z.string().min(1) })).default([]),
})
const good = { latent: { maxTokens: 20 } }

/** The lines of the message, without the place that begins each of them. */
function mistakes(schema: z.ZodType, value: unknown): string[] {
  try {
    parseConfig(schema, value, 'config.json')
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    const lines = (error as UserError).message.split('\n')
    for (const line of lines) expect(line).toMatch(/^config\.json: /)
    return lines.map((line) => line.slice('config.json: '.length))
  }
  return []
}

test('a good config comes back with its defaults, typed', () => {
  const config = parseConfig(schema, good, 'config.json')
  expect(config).toEqual({ task: 'infilling', latent: { minTokens: 1, maxTokens: 20 }, temperature: 1, prompts: [] })
  expectTypeOf(config.latent.maxTokens).toEqualTypeOf<number>()
})

test('all mistakes are told at once, one a line', () => {
  const bad = { latent: { maxTokens: 0, minTokens: 'two' }, temperature: -1, prompts: [{ text: '' }], colour: 'red' }
  expect(mistakes(schema, bad)).toEqual([
    'latent.minTokens must be a number, got "two"',
    'latent.maxTokens must be more than 0, got 0',
    'temperature must be more than 0, got -1',
    'prompts[0].text must be at least 1 character long, got ""',
    'colour is not a known key; known are task, latent, temperature, prompts',
  ])
})

test('a mistyped key names the one that was meant, and is one mistake, not a missing key besides', () => {
  expect(mistakes(schema, { latent: { maxTokns: 20 } })).toEqual([
    'latent.maxTokns is not a known key; did you mean latent.maxTokens?',
  ])
})

test('a missing key says what it must be', () => {
  expect(mistakes(schema, { latent: {} })).toEqual(['latent.maxTokens is missing; it must be a number'])
  expect(mistakes(schema, {})).toEqual(['latent is missing; it must be an object'])
})

test('ranges say their end and whether it belongs to them', () => {
  const ranges = z.strictObject({
    whole: z.number().int(),
    low: z.number().min(2),
    high: z.number().lt(1),
    list: z.array(z.number()).max(2),
    even: z.number().multipleOf(2),
  })
  expect(mistakes(ranges, { whole: 1.5, low: 1, high: 1, list: [1, 2, 3], even: 3 })).toEqual([
    'whole must be a whole number, got 1.5',
    'low must be at least 2, got 1',
    'high must be less than 1, got 1',
    'list must be at most 2 entries long, got [1,2,3]',
    'even must be a multiple of 2, got 3',
  ])
})

test('a wrong word names all words and the nearest', () => {
  expect(mistakes(schema, { ...good, task: 'infiling' })).toEqual([
    'task must be "infilling" or "continuation", got "infiling"; did you mean "infilling"?',
  ])
})

test('of a union the member of the right type explains the mistake', () => {
  expect(mistakes(schema, { ...good, temperature: { from: 1, tto: 2 } })).toEqual([
    'temperature.tto is not a known key; did you mean temperature.to?',
  ])
  expect(mistakes(schema, { ...good, temperature: 'warm' })).toEqual([
    'temperature must be a number or an object, got "warm"',
  ])
})

test('of a discriminated union only the keys of the chosen member are known', () => {
  const rewards = z.strictObject({
    reward: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('posterior'), ending: z.string() }),
      z.strictObject({ kind: z.literal('contrastive'), against: z.number() }),
    ]),
  })
  expect(mistakes(rewards, { reward: { kind: 'posterior', ending: 'x', against: 1 } })).toEqual([
    'reward.against is not a known key; known are kind, ending',
  ])
  expect(mistakes(rewards, { reward: { kind: 'posterio' } })).toEqual([
    'reward.kind must be "posterior" or "contrastive", got "posterio"; did you mean "posterior"?',
  ])
})

test('keys of records, of lists and behind defaults are known too', () => {
  const nested = z.strictObject({
    weights: z.partialRecord(z.enum(['likelihood', 'constraint']), z.number()),
    tasks: z.array(z.strictObject({ name: z.string() })).optional(),
    replay: z.strictObject({ capacity: z.number().default(50) }).prefault({}),
  })
  const bad = { weights: { likelyhood: 1 }, tasks: [{ name: 'a' }, { name: 'b', nane: 'c' }], replay: { capacty: 3 } }
  expect(mistakes(nested, bad)).toEqual([
    'weights.likelyhood is not a known key; did you mean weights.likelihood?',
    'tasks[1].nane is not a known key; did you mean tasks[1].name?',
    'replay.capacty is not a known key; did you mean replay.capacity?',
  ])
})

test('the message of an own refinement reads on from the key', () => {
  const even = z.strictObject({ samples: z.number().refine((n) => n % 2 === 0, 'must be even') })
  expect(mistakes(even, { samples: 3 })).toEqual(['samples must be even'])
})

test('a value that is no object at all is refused', () => {
  expect(mistakes(schema, [1, 2])).toEqual(['it must be an object, got [1,2]'])
  expect(mistakes(schema, undefined)).toEqual(['it is missing; it must be an object'])
})

test('numbers that JSON cannot hold and very long values are shown as they are, and shortened', () => {
  const loose = z.strictObject({ rate: z.number(), name: z.number() })
  expect(mistakes(loose, { rate: Number.NaN, name: 'x'.repeat(500) })).toEqual([
    'rate must be a number, got NaN',
    `name must be a number, got "${'x'.repeat(59)}…`,
  ])
})
