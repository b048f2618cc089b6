/**
 * @file Full-parameter fine-tuning: an adapter that holds every weight of the model, in float32, in place of the frozen ones. PEFT
 * has no such adapter; its folder is ours, and says so in the name of its type, which PEFT does not know and refuses.
 */
import type { HostTensor, NamedTensors } from '../runtime/host-tensor.ts'
import { turned } from '../weights/turned.ts'
import type { LinearLayer, LoraAdapter, LoraConfig } from './lora.ts'

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

/**
 * Arrays for trained weights as a model holds them now, whatever stands before their names. Before, layers were held and saved as
 * checkpoints store them: those that are not square tell by their shapes, and then all that checkpoints turn round are turned back.
 */
export function inPresentLayout(tensors: NamedTensors, layers: readonly LinearLayer[]): NamedTensors {
  const found = layers
    .filter(({ inputsFirst }) => inputsFirst)
    .flatMap(({ module, inputs, outputs }) =>
      Object.keys(tensors)
        .filter((name) => name.endsWith(trainedName(`${module}.weight`)))
        .map((name) => ({ name, isFormer: inputs !== outputs && `${tensors[name].shape}` === `${[inputs, outputs]}` })),
    )
  if (!found.some(({ isFormer }) => isFormer)) return tensors
  return { ...tensors, ...Object.fromEntries(found.map(({ name }) => [name, turned(tensors[name])])) }
}
