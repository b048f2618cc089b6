/** @file Figure 3 of the paper: how likely samples are, in the mean and at best, against how diverse they are. */
import type { BaselineName } from '../baselines/index.ts'
import type { MethodSummary } from '../evaluation/equal-compute/compare-baselines.ts'
import { methods } from '../evaluation/equal-compute/laws.ts'
import { type FrontierCurve, frontier } from '../evaluation/pictures/frontier.ts'
import type { Picture } from '../evaluation/pictures/picture.ts'
import { BASE, TUNED } from './baseline-report.ts'

/** What methods gave on the prompts of one run. */
export type MethodsOfRun = { perQuery: number; methods: readonly MethodSummary[] }

/** A trained sampler, once for every seed; those of one name are settings of it, such as temperatures, in their order. */
export type TrainedSetting = { name: string; runs: readonly MethodsOfRun[] }

/** The settings that decoding and search are published with: those of one list are one curve. */
const curves: readonly (readonly BaselineName[])[] = [
  ['ancestral'],
  ['tempered'],
  ['nucleus'],
  ['top-k'],
  ['greedy'],
  ['beam', 'beam-5'],
  ['diverse-beam', 'diverse-beam-5'],
]

/** Methods of the base model are averaged over all runs. */
export function frontierPicture(trained: readonly TrainedSetting[], subject: string): Picture {
  const all = trained.flatMap(({ runs }) => runs)
  const isEmbedded = all.every((run) => run.methods.some(({ measures }) => measures.cosineDistance))
  const diversityOf = ({ measures }: MethodSummary) =>
    (isEmbedded ? measures.cosineDistance : measures.tokenDistance)?.value ?? 0 // a single latent, N times
  const settingOf = (runs: readonly MethodsOfRun[], method: BaselineName, sampler: string) => {
    const own = runs.flatMap((run) =>
      run.methods.filter(
        (summary) => summary.method === method && summary.sampler === sampler && summary.budget === undefined,
      ),
    )
    return own.length > 0 ? [own] : []
  }
  const names = [...new Set(trained.map(({ name }) => name))]
  const found = [
    ...names.map((name) => ({
      name,
      settings: trained
        .filter((setting) => setting.name === name)
        .flatMap(({ runs }) => settingOf(runs, 'ancestral', TUNED)),
    })),
    ...curves.map((settings) => ({
      name: settings[0] === 'ancestral' ? 'base model' : methods[settings[0]].title,
      settings: settings.flatMap((method) => settingOf(all, method, BASE)),
    })),
  ].filter(({ settings }) => settings.length > 0)
  const panel = (measure: 'meanLogBase' | 'bestLogBase', title: string) => ({
    logLikelihood: { title },
    curves: found.map(
      ({ name, settings }): FrontierCurve => ({
        name,
        settings: settings.map((own) => ({
          logLikelihood: own.map(({ measures }) => measures[measure]!.value),
          diversity: own.map(diversityOf),
        })),
      }),
    ),
  })
  const { perQuery } = all[0]
  return frontier(
    {
      title: `Likelihood against diversity: ${subject}`,
      subtitle: [
        `${perQuery} samples of each method for each prompt; beams: ${perQuery}, then ${5 * perQuery}, and diversity 0 where there is one answer`,
        ...(all.length > 1 ? ['bars: one standard deviation over runs'] : []),
      ].join('; '),
    },
    [
      panel('meanLogBase', 'mean log-likelihood under the base model, nats'),
      panel('bestLogBase', 'best log-likelihood, nats'),
    ],
    { title: `diversity: mean pairwise ${isEmbedded ? 'cosine' : 'edit'} distance` },
  )
}
