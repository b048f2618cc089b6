/** Checkpoints, adapters that look trained, and texts, for tests of exports. */
import { readdirSync } from 'node:fs'
import { initialAdapter, type LoraAdapter } from '../src/adapters/lora.ts'
import { scoreTexts } from '../src/export/held-out.ts'
import type { Policy } from '../src/export/policy.ts'
import type { HeldOut } from '../src/export/verify.ts'
import type { ModelDescription } from '../src/models/architecture.ts'
import { architectures } from '../src/models/architectures.ts'
import { describeModel } from '../src/models/language-model.ts'
import { seededRandom } from '../src/random.ts'
import { embeddedModel } from '../src/tasks/embedded.ts'

const golden = new URL('./golden/checkpoints/', import.meta.url).pathname

/** The embedded model and every golden checkpoint, by name; each architecture of the table is among them. */
export const checkpoints: Record<string, string> = {
  stories260K: embeddedModel,
  ...Object.fromEntries(readdirSync(golden).map((name) => [name, `${golden}${name}`])),
}

const typeOf = (folder: string) => describeModel(folder).modelType

/** One of each architecture: those that bear its name. */
export const plainCheckpoints = Object.entries(checkpoints).filter(([name, folder]) => name === typeOf(folder))

export const architecturesWithoutCheckpoint = () => {
  const types = plainCheckpoints.map(([name]) => name)
  return Object.keys(architectures).filter((name) => !types.includes(name))
}

/** An adapter whose correction is as large as the weights: B is not zero, ranks and scales differ. */
export function trainedLooking(description: ModelDescription): LoraAdapter {
  const random = seededRandom(7)
  const targets = description.defaultTargets
  const config = { rank: 4, alpha: 8, targets, rankPattern: { [targets[0]]: 2 }, rankStabilised: true }
  const adapter = initialAdapter(config, description.linears, random)
  for (const [name, { data }] of Object.entries(adapter.weights)) {
    const draws = random.at(name)
    for (let i = 0; i < data.length; i++) data[i] = 0.3 * (draws.uniform() - 0.5)
  }
  return adapter
}

export function policyOf(folder: string): Policy {
  const description = describeModel(folder)
  return { path: folder, description, adapter: trainedLooking(description) }
}

/** Three texts of different lengths with what the policy says of them; known ones are not computed again. */
export async function heldOutOf(policy: Policy): Promise<HeldOut> {
  const known = heldOuts.get(policy.path) ?? computeHeldOut(policy)
  heldOuts.set(policy.path, known)
  return known
}

const heldOuts = new Map<string, Promise<HeldOut>>()

async function computeHeldOut(policy: Policy): Promise<HeldOut> {
  const draws = seededRandom(3).at('texts')
  const { vocabulary } = policy.description.dimensions
  const texts = [9, 4, 14].map((length) => Array.from({ length }, () => draws.integer(vocabulary)))
  return { texts, logProbabilities: await scoreTexts(policy, texts, 1) }
}
