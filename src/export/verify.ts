/**
 * @file An export is believed only after it was read back: each of its weights must be the policy's up to what its type
 * can hold, and what the reading code computes with them must be what the policy says of held-out text.
 */
import { UserError } from '../errors.ts'
import { type Texts, worstDifference } from './held-out.ts'
import { openMerged, type Policy } from './policy.ts'
import { type Precision, type PrecisionName, precisions, worstDeviation } from './precision.ts'

/** What a policy says of texts that it was not trained on. */
export type HeldOut = { texts: Texts; logProbabilities: readonly number[][] }

/** A tensor of the export and where it differs most from the policy's. */
export type WorstTensor = { name: string; difference: number; element: number }

export type Verification = {
  texts: number
  tokens: number
  /** Largest difference of a token's log-probability, nats, and the one that is allowed. */
  difference: number
  allowed: number
  tensors: number
  /** The tensor that differs most in parts of what its type explains; null where all are equal. */
  worstTensor: WorstTensor | null
}

/** An export that can be read. `where` names it in messages. */
export type ReadBack = {
  where: string
  /** The type that decides how far log-probabilities may be off. */
  precision: PrecisionName
  /** Float32 values of a weight by our name, in its shape in the description, and how exactly they are held. */
  read: (name: string) => { values: Float32Array; precision: Precision }
  logProbabilities: (texts: Texts) => Promise<number[][]>
}

/** @throws UserError (exit code 1) naming the tensor where the export does not hold or compute what the policy does */
export async function verify(policy: Policy, heldOut: HeldOut, export_: ReadBack): Promise<Verification> {
  const { where } = export_
  const worstTensor = compareTensors(policy, export_)
  const allowed = precisions[export_.precision].nats
  const difference = worstDifference(heldOut.logProbabilities, await export_.logProbabilities(heldOut.texts))
  if (difference > allowed) {
    const tensor = worstTensor ? `; of its tensors ${worstTensor.name} differs most` : '; all of its tensors are equal'
    throw failure(
      where,
      `log-probabilities of held-out text differ by ${difference.toPrecision(2)} nats, where ${allowed} are allowed${tensor}`,
    )
  }
  return {
    texts: heldOut.texts.length,
    tokens: heldOut.logProbabilities.reduce((sum, { length }) => sum + length, 0),
    difference,
    allowed,
    tensors: Object.keys(policy.description.weights).length,
    worstTensor,
  }
}

function compareTensors(policy: Policy, { read, where }: ReadBack): WorstTensor | null {
  const merged = openMerged(policy)
  try {
    let worst: (WorstTensor & { excess: number }) | undefined
    for (const name of Object.keys(policy.description.weights)) {
      const expected = merged.read(name).data as Float32Array
      const { values, precision } = read(name)
      if (values.length !== expected.length)
        throw failure(where, `tensor ${name} has ${values.length} elements instead of ${expected.length}`)
      const deviation = worstDeviation(expected, values, precision)
      if (!(deviation.excess <= (worst?.excess ?? 0))) worst = { name, ...deviation }
    }
    if (!worst) return null
    const { name, element, difference, excess } = worst
    if (!(excess <= 1))
      throw failure(
        where,
        `tensor ${name} is not the policy's: element ${element} is off by ${difference.toPrecision(2)}`,
      )
    return { name, element, difference }
  } finally {
    merged.close()
  }
}

const failure = (where: string, what: string) =>
  new UserError({ what: `the export is not what was exported: ${what}`, where, fix: 'nothing was kept' }, 1)
