/** @file What of a run may multiply by an int8 copy of the weights: where that is near enough, and the copy pays. */
import { UserError } from '../errors.ts'
import { type Int8Part, int8Parts } from '../models/int8-copy.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { TrainingConfig } from './config.ts'
import { methodOf } from './methods/index.ts'

/** The parts of a run's steps that do. */
export const int8PartsOf = (config: TrainingConfig): Int8Part[] => int8Parts.filter((part) => config[part] === 'int8')

/** @throws UserError where a part that is to be int8 could not be near the exact one, does not exist, or could not be faster */
export function refuseInt8({ lanes }: LanguageModel, config: TrainingConfig): void {
  const { method, parameters } = config
  const { offPolicy, withoutRewards } = methodOf(method)
  const refuse = (part: Int8Part, what: string): never => {
    throw new UserError({ what: `${part} is int8, but ${what}`, where: 'config', fix: `leave ${part} exact` })
  }
  for (const part of int8PartsOf(config)) {
    if (lanes.device !== 'cpu')
      refuse(part, `whole numbers are multiplied on the processor, and the model runs on ${lanes.device}`)
    if (part === 'scoring') {
      if (withoutRewards) refuse(part, `the method ${method} asks for no reward`)
    } else {
      if (!offPolicy) refuse(part, `the method ${method} learns from samples of the exact policy, or from none`)
      if (parameters === 'all')
        refuse(part, 'with parameters "all" there are no frozen weights to copy: they change in every step')
    }
  }
}
