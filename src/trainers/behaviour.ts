/** @file The behaviour policy: where the latents of an update come from, and at which temperatures. */
import type { TrainingConfig } from './config.ts'

export type SourceCounts = { policy: number; tempered: number; replay: number }

/**
 * How many latents each source gives, of fractions as they are today. The three sources of the paper (section 3.2) are mixed within an update. What the
 * buffer cannot give yet, the policy gives.
 */
export function countSources(
  samples: number,
  { tempered, replay }: { tempered: number; replay: number },
  replayable: number,
): SourceCounts {
  const attempered = Math.round(samples * tempered)
  const replayed = replayable > 0 ? Math.min(Math.round(samples * replay), samples - attempered) : 0
  return { policy: samples - attempered - replayed, tempered: attempered, replay: replayed }
}

/** A temperature for each sampled latent: 1 for the policy's own, evenly spread over the range for the tempered ones. */
export function behaviourTemperatures(
  { policy, tempered }: SourceCounts,
  { from, to }: TrainingConfig['sources']['temperatures'],
): number[] {
  const spread = Array.from({ length: tempered }, (_, i) => from + ((to - from) * (i + 0.5)) / tempered)
  return [...Array.from({ length: policy }, () => 1), ...spread]
}
