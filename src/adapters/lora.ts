/**
 * @file LoRA (Hu et al. 2021): a linear layer y = x·Wᵀ + b gets the correction scale · (x·Aᵀ)·Bᵀ, A [rank, inputs],
 * B [outputs, rank]. Only A and B are trained. Names and scaling are PEFT's, so that adapters travel both ways.
 */
import { UserError } from '../errors.ts'
import { nearestName } from '../nearest-name.ts'
import type { Random } from '../random.ts'
import { float32, type NamedTensors } from '../runtime/host-tensor.ts'

/** What a LoRA adapter adapts: `targets` are the last parts of module names, as in PEFT's `target_modules`. */
export type LoraConfig = {
  rank: number
  alpha: number
  targets: readonly string[]
  /** Modules with another rank or alpha than the others, by patterns as `patternValue` reads them. */
  rankPattern?: Patterns
  alphaPattern?: Patterns
  /** Scale by alpha/√rank instead of alpha/rank (rank-stabilised LoRA, Kalajdzievski 2023). */
  rankStabilised?: boolean
  /** Instead of corrections of some layers every weight is trained, as a whole; then there are no targets. */
  everyWeight?: true
}
type Patterns = Readonly<Record<string, number>>

/** An adapter: `weights` holds `<module>.lora_A.weight` [rank, inputs] and `<module>.lora_B.weight` [outputs, rank]. */
export type LoraAdapter = { config: LoraConfig; weights: NamedTensors }

/** The same with arrays of its own: training overwrites those of its adapter. */
export const copyAdapter = ({ config, weights }: LoraAdapter): LoraAdapter => ({
  config,
  weights: Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
  ),
})

/**
 * A linear layer that LoRA can adapt. `inputsFirst` where checkpoints store its weight [inputs, outputs] (GPT-2's Conv1D); in memory
 * it is [outputs, inputs] like any other.
 */
export type LinearLayer = { module: string; inputs: number; outputs: number; inputsFirst: boolean }

/** The rank of a module's matrices. */
export const rankOf = ({ rank, rankPattern }: LoraConfig, module: string) => patternValue(rankPattern, module) ?? rank

/** PEFT's scale of a module's correction. */
export function scaleOf(config: LoraConfig, module: string): number {
  const alpha = patternValue(config.alphaPattern, module) ?? config.alpha
  const rank = rankOf(config, module)
  return alpha / (config.rankStabilised ? Math.sqrt(rank) : rank)
}

/** The value of the first pattern that matches a module's whole name, or its end after a dot, as in PEFT. */
function patternValue(patterns: Patterns = {}, module: string): number | undefined {
  const pattern = Object.keys(patterns).find((pattern) => patternOf(pattern).test(module))
  return pattern === undefined ? undefined : patterns[pattern]
}

/** A pattern of PEFT as an expression of ours. @throws SyntaxError where Python reads it otherwise */
export const patternOf = (pattern: string) => new RegExp(`^(?:.*\\.)?(?:${pattern})$`, 'u')

/** Does the config adapt this module? A target matches a module's whole name or its end after a dot, as in PEFT. */
export const isTarget = (config: Pick<LoraConfig, 'targets'>, module: string) =>
  config.targets.some((target) => module === target || module.endsWith(`.${target}`))

/** The last parts of the layers' names, each once: what targets are usually called by. */
export const lastParts = (layers: readonly LinearLayer[]): string[] => [
  ...new Set(layers.map(({ module }) => module.split('.').at(-1)!)),
]

/**
 * Targets as PEFT lets a user say them, as a list: whole names or last parts; "all-linear"; any other text is a pattern
 * that must match whole names, and becomes the names that it matches.
 * @throws UserError for a name or pattern that no layer has, with those that there are
 */
export function chooseTargets(targets: string | readonly string[], layers: readonly LinearLayer[]): readonly string[] {
  if (targets === 'all-linear') return lastParts(layers)
  if (typeof targets === 'string') return matchedBy(targets, layers)
  const stray = targets.find((target) => !layers.some(({ module }) => isTarget({ targets: [target] }, module)))
  if (stray === undefined) return targets
  const known = lastParts(layers)
  const nearest = nearestName(stray, known)
  throw new UserError({
    what: `the model has no linear layer ${stray}${nearest ? `; did you mean ${nearest}?` : ''}`,
    where: 'lora.targets',
    fix: `choose among ${known.join(', ')}`,
  })
}

function matchedBy(pattern: string, layers: readonly LinearLayer[]): string[] {
  const modules = layers.map(({ module }) => module)
  const regularExpression = (() => {
    try {
      return new RegExp(`^(?:${pattern})$`, 'u')
    } catch (error) {
      const what = `not a pattern that can be read: ${(error as Error).message}`
      throw new UserError({ what, where: 'lora.targets', fix: 'name the layers in a list' })
    }
  })()
  const matched = modules.filter((module) => regularExpression.test(module))
  if (matched.length > 0) return matched
  throw new UserError({
    what: `the pattern ${pattern} matches no linear layer's whole name, such as ${modules[0]}`,
    where: 'lora.targets',
    fix: `to choose by the last parts of names, give a list of ${lastParts(layers).join(', ')}`,
  })
}

/** Names and shapes of an adapter's matrices: A [rank, inputs] and B [outputs, rank] for every adapted layer. */
export const matrixShapes = (
  config: LoraConfig,
  layers: readonly LinearLayer[],
): Record<string, readonly [number, number]> =>
  Object.fromEntries(
    layers
      .filter(({ module }) => isTarget(config, module))
      .flatMap(({ module, inputs, outputs }) => [
        [`${module}.lora_A.weight`, [rankOf(config, module), inputs]],
        [`${module}.lora_B.weight`, [outputs, rankOf(config, module)]],
      ]),
  )

/**
 * A fresh adapter: A uniform in ±1/√inputs (PEFT's Kaiming uniform with a = √5), B zero, so that it changes nothing yet.
 * Each matrix has its own address in `random`: adding a layer does not change the others.
 */
export function initialAdapter(config: LoraConfig, layers: readonly LinearLayer[], random: Random): LoraAdapter {
  const weights: NamedTensors = {}
  for (const [name, shape] of Object.entries(matrixShapes(config, layers))) {
    const module = name.match(/^(.*)\.lora_A\.weight$/)?.[1]
    weights[name] = float32(shape)
    if (module === undefined) continue
    const draws = random.at('lora', module)
    const bound = 1 / Math.sqrt(shape[1])
    const a = weights[name].data
    for (let i = 0; i < a.length; i++) a[i] = (2 * draws.uniform() - 1) * bound
  }
  return { config, weights }
}
