/**
 * @file Full-parameter fine-tuning: an adapter that holds every weight of the model, in float32, in place of the frozen ones. PEFT
 * has no such adapter; its folder is ours, and says so in the name of its type, which PEFT does not know and refuses.
 */
import type { HostTensor, NamedTensors } from '../runtime/host-tensor.ts'
import type { LoraAdapter, LoraConfig } from './lora.ts'

/** The `peft_type` of such a folder. Its tensors have the names of the model's weights. */
export const EVERY_WEIGHT_TYPE = 'FLOWTUNE_EVERY_WEIGHT'

export const everyWeightConfig: LoraConfig = { rank: 1, alpha: 1, targets: [], everyWeight: true }

/** What a trained weight is called beside the frozen one. */
export const trainedName = (weight: string) => `${weight}.trained`

/** The adapter that holds these weights, by the model's names. */
export const everyWeightAdapter = (weights: NamedTensors): LoraAdapter => ({
  config: { ...everyWeightConfig },
  weights: Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [trainedName(name), tensor])),
})

/** The weights of such an adapter, by the model's names. */
export const weightsOf = ({ weights }: LoraAdapter): [name: string, tensor: HostTensor][] =>
  Object.entries(weights).map(([name, tensor]) => [name.slice(0, -trainedName('').length), tensor])
