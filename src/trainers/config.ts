/**
 * @file The config of a training run: what a user may set, its defaults and its units. Parsed once, strictly; inside the
 * trainer nothing is optional, and the resolved config is part of the run's record.
 */
import { z } from 'zod'
import { objectiveNames } from '../gflownet/objectives.ts'
import { replayConfigSchema } from '../gflownet/replay-buffer.ts'
import { scheduleSchema } from '../gflownet/schedules.ts'
import { parseConfig } from './strict-config.ts'

const count = z.number().int().positive()
const fraction = z.number().min(0).max(1)

export const trainingSchema = z.strictObject({
  seed: z.number().int().nonnegative().default(0).describe('every random draw of the run follows from it'),
  steps: count.default(400).describe('updates of the adapter'),
  promptsPerStep: count.default(4).describe('prompts whose gradients make one update'),
  samplesPerPrompt: count.default(32).describe('latents of a prompt in one update, replayed ones included'),
  sources: z
    .strictObject({
      tempered: fraction.default(0.25).describe('fraction sampled at another temperature than 1'),
      replay: fraction.default(0.125).describe('fraction drawn from the replay buffer'),
      temperatures: z
        .strictObject({ from: z.number().positive().default(0.8), to: z.number().positive().default(1.4) })
        .prefault({})
        .describe('the tempered samples spread over this range'),
    })
    .refine(({ tempered, replay }) => tempered + replay <= 1, 'must not ask for more than all samples')
    .prefault({})
    .describe('where the latents of an update come from; the rest is sampled by the policy itself'),
  latent: z
    .strictObject({
      stop: z.string().min(1).default('.').describe('the text of the token that ends a latent'),
      minTokens: z.number().int().nonnegative().default(0),
      maxTokens: count.default(16).describe('without the terminal token, which is forced after so many'),
      allowedTokens: z.array(z.number().int().nonnegative()).min(1).nullable().default(null),
      forbiddenTokens: z.array(z.number().int().nonnegative()).default([]),
    })
    .refine(({ minTokens, maxTokens }) => minTokens <= maxTokens, 'must have minTokens no larger than maxTokens')
    .prefault({}),
  objective: z
    .strictObject({
      name: z.enum(objectiveNames).default('subtrajectory-balance'),
      lambda: z.number().gt(0).max(1).default(1),
    })
    .prefault({}),
  rewardTemperature: scheduleSchema(z.number().positive())
    .default({ from: 1.3, to: 1, steps: 60, shape: 'linear' })
    .describe('T of R^(1/T); what it ends with is what is sampled'),
  lora: z
    .strictObject({
      rank: count.default(32),
      alpha: z.number().positive().default(32),
      targets: z
        .array(z.string().min(1))
        .min(1)
        .nullable()
        .default(null)
        .describe("null: the architecture's own choice"),
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
  checkpoints: z.strictObject({ every: count.default(50).describe('steps'), keep: count.default(2) }).prefault({}),
})

export type TrainingConfig = z.output<typeof trainingSchema>
export type TrainingOptions = z.input<typeof trainingSchema>

/** @throws UserError listing every mistake, with the nearest known key for an unknown one */
export const parseTrainingConfig = (options: unknown, where: string): TrainingConfig =>
  parseConfig(trainingSchema, options, where)
