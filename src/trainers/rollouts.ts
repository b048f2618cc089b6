/** @file When latents may be sampled by an int8 copy of the weights: where learning corrects what the copy gets wrong, and the copy pays. */
import { UserError } from '../errors.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { TrainingConfig } from './config.ts'
import { methodOf } from './methods/index.ts'

/** @throws UserError where int8 rollouts would change what is learned, or could not be faster */
export function refuseInt8Rollouts({ lanes }: LanguageModel, { method, parameters }: TrainingConfig): void {
  const refuse = (what: string): never => {
    throw new UserError({ what: `rollouts is int8, but ${what}`, where: 'config', fix: 'leave rollouts exact' })
  }
  if (!methodOf(method).offPolicy) refuse(`the method ${method} learns from samples of the exact policy, or from none`)
  if (parameters === 'all')
    refuse('with parameters "all" there are no frozen weights to copy: they change in every step')
  if (lanes.device !== 'cpu')
    refuse(`whole numbers are multiplied on the processor, and the model runs on ${lanes.device}`)
}
