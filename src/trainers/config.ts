/**
 * @file The config of a training run: what a user may set, its defaults and its units. Parsed once, strictly; inside the
 * trainer nothing is optional, and the resolved config is part of the run's record.
 */
import { z } from 'zod'
import { objectiveNames } from '../gflownet/objectives.ts'
import { replayConfigSchema } from '../gflownet/replay-buffer.ts'
import { largestOf, scheduleSchema } from '../gflownet/schedules.ts'
import { ppoConfigSchema } from '../ppo/config.ts'
import { methodNames } from './methods/names.ts'
import { parseConfig } from './strict-config.ts'

const count = z.number().int().positive()
const fraction = z.number().min(0).max(1)
const products = z.enum(['exact', 'int8']).default('exact')
const token = z.union([z.number().int().nonnegative(), z.string().min(1)])

export const trainingSchema = z.strictObject({
  seed: z.number().int().nonnegative().default(0).describe('every random draw of the run follows from it'),
  steps: count.default(400).describe('steps that sample, score and learn, in each round where there are rounds'),
  method: z.enum(methodNames).default('gflownet').describe('how it learns'),
  promptsPerStep: count.default(4).describe('prompts whose gradients make one update'),
  samplesPerPrompt: count.default(32).describe('latents of a prompt in one update, replayed ones included'),
  sources: z
    .strictObject({
      tempered: scheduleSchema(fraction).default(0.25).describe('fraction sampled at another temperature than 1'),
      replay: fraction.default(0.125).describe('fraction drawn from the replay buffer'),
      temperatures: z
        .strictObject({ from: z.number().positive().default(0.8), to: z.number().positive().default(1.4) })
        .prefault({})
        .describe('the tempered samples spread over this range'),
    })
    .refine(({ tempered, replay }) => largestOf(tempered) + replay <= 1, 'must not ask for more than all samples')
    .prefault({})
    .describe('where the latents of an update come from; the rest is sampled by the policy itself'),
  rollouts: products.describe(
    'weights that latents are sampled with: an int8 copy is faster and takes memory; what is learned stays the same',
  ),
  scoring: products.describe(
    'weights that likelihoods of rewards are computed with: by the int8 copy it is faster, and what is learned is near the target; evaluation is exact',
  ),
  learning: products.describe(
    'frozen weights that the learn step multiplies by: the int8 copies are faster, and take memory; what is learned is near the target',
  ),
  latent: z
    .strictObject({
      stop: z.string().min(1).default('.').describe('the text of the token that ends a latent'),
      minTokens: z.number().int().nonnegative().default(0),
      maxTokens: count.default(16).describe('without the terminal token, which is forced after so many'),
      allowedTokens: z.array(token).min(1).nullable().default(null).describe('ids, or texts of one token each'),
      allowedCharacters: z
        .string()
        .min(1)
        .nullable()
        .default(null)
        .describe('tokens that are made of these alone are allowed, besides allowedTokens'),
      forbiddenTokens: z.array(token).default([]).describe('ids, or texts of one token each'),
      plainSentence: z
        .boolean()
        .default(false)
        .describe("forbid what does not belong into one plain sentence: the paper's list for continuation"),
      renormaliseReward: z
        .boolean()
        .default(false)
        .describe(
          "the limits of latents hold for the reward's likelihoods too, as in the paper's continuation: each token's is renormalised over what is allowed",
        ),
    })
    .refine(({ minTokens, maxTokens }) => minTokens <= maxTokens, 'must have minTokens no larger than maxTokens')
    .prefault({}),
  objective: z
    .strictObject({
      name: z.enum(objectiveNames).default('subtrajectory-balance'),
      lambda: z.number().gt(0).max(1).default(1),
    })
    .prefault({}),
  prefixFraction: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe(
      'at which fraction of the inner prefixes of a latent, drawn at random, rewards are computed: fewer cost less and make the gradient noisier, which on average stays the same',
    ),
  updatesPerStep: count
    .default(1)
    .describe(
      'updates of the adapter in one step of gflownet: those after the first learn from its latents again, and from others of the replay buffer; nothing is sampled or scored for them',
    ),
  overlap: z
    .boolean()
    .default(false)
    .describe(
      'sample and score the latents of the next step while this one learns, by the policy before its update: with --lanes 2 faster where a step has few prompts',
    ),
  rewardTemperature: scheduleSchema(z.number().positive())
    .default({ from: 1.3, to: 1, steps: 60, shape: 'linear' })
    .describe('T of R^(1/T); what it ends with is what is sampled'),
  parameters: z
    .enum(['lora', 'all'])
    .default('lora')
    .describe('what is trained: corrections of some linear layers, as `lora` says, or every weight of the model'),
  lora: z
    .strictObject({
      rank: count.default(32),
      alpha: z.number().positive().default(32),
      targets: z
        .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
        .nullable()
        .default(null)
        .describe(
          'names or last parts of names, "all-linear", or a pattern of whole names; null: the architecture\'s choice',
        ),
    })
    .prefault({}),
  optimizer: z
    .strictObject({
      learningRate: scheduleSchema(z.number().positive()).default({ from: 1.5e-3, to: 1e-4, shape: 'cosine' }),
      warmUpSteps: z.number().int().nonnegative().default(10),
      betas: z.tuple([fraction, fraction]).default([0.9, 0.99]),
      epsilon: z.number().positive().default(1e-8),
      weightDecay: z.number().nonnegative().default(0),
      maxGradientNorm: z.number().positive().nullable().default(null),
      logPartitionRate: z
        .number()
        .positive()
        .default(0.1)
        .describe('learning rate of log Z(X), where the objective learns it'),
    })
    .prefault({}),
  replay: replayConfigSchema.prefault({}),
  em: z
    .strictObject({
      rounds: z
        .number()
        .int()
        .nonnegative()
        .default(0)
        .describe('rounds of expectation-maximisation; 0: the reference model stays as it is'),
      steps: count.default(100).describe("updates of the reference model's own adapter in a round"),
      samples: z
        .number()
        .int()
        .nonnegative()
        .default(16)
        .describe('latents of a prompt in one of them; 0: none, and the answer follows the prompt directly'),
      learningRate: scheduleSchema(z.number().positive()).default(5e-4),
      answerOnly: z
        .boolean()
        .default(false)
        .describe("learn the answer given the latent, as the paper's code does, and not the latent too"),
    })
    .prefault({})
    .describe('after each round of updates the reference model learns from what the adapter samples'),
  ppo: ppoConfigSchema.prefault({}),
  collapseFraction: fraction
    .default(0.1)
    .describe(
      "warn when the first token's entropy falls below this fraction of what it was at the beginning; 0: never",
    ),
  checkpoints: z.strictObject({ every: count.default(50).describe('steps'), keep: count.default(2) }).prefault({}),
})

export type TrainingConfig = z.output<typeof trainingSchema>
export type TrainingOptions = z.input<typeof trainingSchema>

/** All updates of a run: of the adapter, and of the reference model's own. */
export const totalSteps = ({ steps, em: { rounds, steps: further, samples } }: TrainingConfig) =>
  rounds === 0 ? steps : rounds * ((samples > 0 ? steps : 0) + further)

/**
 * Options over defaults, key by key. A range or a way from one value to another is one value: neither of its ends goes
 * with the other's of somebody else.
 */
export const withDefaults = (defaults: TrainingOptions, options: TrainingOptions): TrainingOptions =>
  merged(defaults as JsonObject, options as JsonObject)

type JsonObject = Readonly<Record<string, unknown>>

function merged(defaults: JsonObject, options: JsonObject): JsonObject {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const values = given.map(([key, value]) => {
    const usual = defaults[key]
    return [key, isObject(usual) && isObject(value) && !('from' in value) ? merged(usual, value) : value]
  })
  return { ...defaults, ...Object.fromEntries(values) }
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** @throws UserError listing every mistake, with the nearest known key for an unknown one */
export const parseTrainingConfig = (options: unknown, where: string): TrainingConfig =>
  parseConfig(trainingSchema, options, where)
