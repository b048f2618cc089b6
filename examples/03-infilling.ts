/**
 * @file Recipe 3, infilling (Hu et al. 2024, section 4.2): the sentence Z between a beginning X and an ending Y from p(X Z Y), which
 * the model itself cannot draw, since it does not look ahead.
 *
 *     npx flowtune train examples/03-infilling.ts
 *
 * What you should see, in about two minutes on two cores: KL(q ‖ posterior) falls from 6.9 to 2.9 nats, mean log R rises from −43 to −33, and half as
 * much again of the true sentences' wording is in the samples (BLEU-4 0.06 before, 0.09 after). Resampling the base model at equal compute
 * scores higher (0.12) and says less: it repeats a few sentences, with half as many distinct pairs of words. Asked for the sentence
 * in words, a model of this size does not understand.
 *
 * On your own stories with a larger model. The column `middle` has the true sentence, which only evaluation looks at; with an encoder it is
 * compared by meaning, too:
 *
 *     npx flowtune train examples/03-infilling.ts --model SmolLM2-135M-Instruct.Q4_1.gguf --data stories.csv \
 *       --columns "beginning=sentence1+sentence2+sentence3,middle=sentence4,ending=sentence5"
 *     npx flowtune evaluate RUN --encoder all-MiniLM-L6-v2 --baselines
 */
import { fileURLToPath } from 'node:url'
import { type Task, tasks } from 'flowtune'

const file = (name: string) => fileURLToPath(new URL(`../data/stories/${name}.jsonl`, import.meta.url))

const recipe: Task = {
  ...tasks.infilling,
  examples: { data: file('train'), testData: file('held-out-with-middle') },
  defaults: { steps: 250 },
}
export default recipe
