/** @file What this package brings along: a small language model and stories, so that it does its main job by itself. */
import { fileURLToPath } from 'node:url'

const inPackage = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export const embeddedModel = inPackage('models/stories260K')
export const embeddedStories = {
  data: inPackage('data/stories/train.jsonl'),
  testData: inPackage('data/stories/held-out.jsonl'),
}
