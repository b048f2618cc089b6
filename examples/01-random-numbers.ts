/**
 * @file Recipe 1, random numbers (Hu et al. 2024, section 2): asked for a whole number drawn uniformly between 0 and 100, a model
 * draws one so. From the whole vocabulary: that a number is written in digits is learned, too.
 *
 *     npx flowtune train examples/01-random-numbers.ts
 *
 * What you should see, in about a minute on two cores: the base model writes one of the 101 numbers once in two thousand times; after
 * training hardly anything else, each about as often as any other, by exact enumeration. A picture of all
 * probabilities is in the run's folder.
 */
import { type Task, tasks } from 'flowtune'

const recipe: Task = { ...tasks['random-numbers'], defaults: { ...tasks['random-numbers'].defaults, steps: 600 } }
export default recipe
