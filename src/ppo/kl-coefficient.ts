/** @file The adaptive weight of the KL penalty (Ziegler et al. 2019, section 2.2). */
import type { PpoConfig } from './config.ts'

/** A step that is further off than this is not followed by more. */
const LARGEST_ERROR = 0.2

/**
 * β after a step: larger where the policy is further from the reference than the target, smaller where it is nearer.
 * @param kl  mean KL(q ‖ reference) of the step's latents, nats
 * @param samples  latents in the step
 */
export function adaptedKlCoefficient(
  coefficient: number,
  { kl, samples }: { kl: number; samples: number },
  { target, horizon }: PpoConfig['kl'],
): number {
  if (target === null) return coefficient
  const error = Math.min(LARGEST_ERROR, Math.max(-LARGEST_ERROR, kl / target - 1))
  return coefficient * (1 + (error * samples) / horizon)
}
