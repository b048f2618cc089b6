/** @file The settings of PPO. Defaults are those of the paper's baseline (clip 0.2, β 0.2 and adaptive, four epochs) and, where it names none, of TRL, with which it was run. */
import { z } from 'zod'

const fraction = z.number().min(0).max(1)

export const ppoConfigSchema = z.strictObject({
  baseline: z
    .enum(['value-head', 'group'])
    .default('value-head')
    .describe(
      "advantages are over a trained linear map of the last hidden state, or over the mean of the prompt's samples",
    ),
  epochs: z.number().int().positive().default(4).describe('updates from the same samples'),
  clip: z.number().positive().default(0.2).describe('fraction by which the probability of an action is moved at most'),
  whiten: z.boolean().default(true).describe("a prompt's advantages are divided by their standard deviation"),
  discount: fraction.default(1).describe('γ; value head only'),
  lambda: fraction.default(0.95).describe('of generalised advantage estimation; value head only'),
  valueClip: z.number().positive().default(0.2).describe('nats by which a value is moved at most; value head only'),
  valueWeight: z
    .number()
    .nonnegative()
    .default(0.1)
    .describe("weight of the values' error in the loss; value head only"),
  kl: z
    .strictObject({
      coefficient: z.number().nonnegative().default(0.2).describe('β of the KL penalty, at the beginning'),
      target: z
        .number()
        .positive()
        .nullable()
        .default(6)
        .describe('KL(q ‖ reference) in nats a latent that β is adapted to; null: β stays'),
      horizon: z
        .number()
        .positive()
        .default(10_000)
        .describe('samples over which β changes by a fifth, where the KL is far off'),
    })
    .prefault({}),
  stopAtKl: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe(
      'ends the epochs of a step at this distance from the policy that drew the samples, nats an action; null: never',
    ),
})

export type PpoConfig = z.output<typeof ppoConfigSchema>
