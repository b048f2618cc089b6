import { afterAll, expect, test } from 'vitest'
import { describeModel, loadWeights } from '../models/language-model.ts'
import { scoreTree } from '../models/score.ts'
import { countForwardTokens } from './forward-tokens.ts'

const folder = new URL('../../test/golden/checkpoints/llama', import.meta.url).pathname
const { description: model, lanes } = await loadWeights(folder, describeModel(folder), { threads: 1 })
afterAll(() => lanes.dispose())

test('a prompt counts whenever it is asked for, also where the lane has kept it', () =>
  lanes.use(async (lane) => {
    const tree = {
      prompt: [5, 6, 7],
      latents: [
        [8, 9],
        [8, 10],
      ],
      branches: [{ latent: 0, prefix: 1, tokens: [11] }],
    }
    for (let turn = 0; turn < 2; turn++) {
      const { lane: counting, forwardTokens } = countForwardTokens(lane)
      await scoreTree(counting, { model }, tree, () => [{ after: 2, token: 9 }])
      expect(forwardTokens()).toBe(3 + 3 + 1)
    }
  }))
