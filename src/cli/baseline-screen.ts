/** @file Methods without training beside the trained sampler, for people to read: quality, diversity, and what a query costs. */
import type { AnswerMeasures } from '../evaluation/equal-compute/answer.ts'
import type { MethodSummary } from '../evaluation/equal-compute/compare-baselines.ts'
import { klKind, methods } from '../evaluation/equal-compute/laws.ts'
import { BASE, type BaselineReport, type Quality, TUNED } from '../tasks/baseline-report.ts'
import type { Report } from '../tasks/report.ts'
import { duration, plainTable } from './terminal.ts'

type Column = { head: string; show: (summary: MethodSummary) => string }

const value = ({ measures }: MethodSummary, name: keyof AnswerMeasures) => measures[name]?.value ?? Number.NaN
const decimals = (number: number, digits = 1) =>
  Number.isNaN(number)
    ? ''
    : Number.isFinite(number)
      ? number.toFixed(digits).replace(/^-(0\.?0*)$/, '$1')
      : number > 0
        ? '∞'
        : '−∞'
const pair = (summary: MethodSummary, a: keyof AnswerMeasures, b: keyof AnswerMeasures) =>
  [a, b].map((name) => decimals(value(summary, name)) || '-').join(' / ')

const columns: Column[] = [
  { head: 'log R', show: (summary) => decimals(value(summary, 'meanLogReward')) },
  { head: 'KL', show: klOf },
  { head: 'base log p', show: (summary) => pair(summary, 'meanLogBase', 'bestLogBase') },
  {
    head: 'own log q',
    show: (summary) => (summary.measures.meanLogOwn ? pair(summary, 'meanLogOwn', 'bestLogOwn') : '-'),
  },
  { head: 'distinct', show: (summary) => `${(100 * value(summary, 'distinctFraction')).toFixed(0)} %` },
  { head: 'diversity', show: diversityOf },
  { head: 'tokens', show: (summary) => value(summary, 'forwardTokens').toFixed(0) },
  { head: 'seconds', show: (summary) => Number(value(summary, 'seconds').toPrecision(2)).toString() },
]

/** Bounds are marked; of a chain nothing is known. */
function klOf(summary: MethodSummary): string {
  const kind = klKind(methods[summary.method].law)
  return kind === 'unknown' ? '-' : `${kind === 'bound' ? '≤ ' : ''}${decimals(value(summary, 'kl'))}`
}

/** By meaning where there is an encoder, by edits elsewhere; a single latent has none. */
function diversityOf(summary: MethodSummary): string {
  const { cosineDistance, logGramDeterminant, tokenDistance } = summary.measures
  if (cosineDistance && logGramDeterminant)
    return `${decimals(cosineDistance.value, 2)} / ${decimals(logGramDeterminant.value)}`
  return tokenDistance ? `${(100 * tokenDistance.value).toFixed(0)} %` : '-'
}

/** One table: what decodes or searches as it is, then each budget's. */
export function baselineScreen(report: BaselineReport, { prompts, rewardTemperature }: Report): string {
  const { perQuery, budgets, queries } = report
  const isPlain = ({ method }: MethodSummary) => method === 'ancestral'
  const plain = report.methods.filter(isPlain)
  const rowOf = (summary: MethodSummary) => [titleOf(summary), ...columns.map(({ show }) => show(summary))]
  const note = (text: string) => [text, ...columns.map(() => '')]
  const unanswered = report.methods.filter(({ answered }) => answered < queries)
  const meanOf = (name: 'meanLogReward' | 'meanLogBase') =>
    prompts.slice(0, queries).reduce((sum, { posterior }) => sum + posterior[name], 0) / queries
  const posterior = [
    'the posterior, by weights',
    decimals(meanOf('meanLogReward')),
    '0',
    `${decimals(meanOf('meanLogBase'))} / -`,
    ...columns.slice(4).map(() => ''),
  ]
  const rows = [
    ['', ...columns.map(({ head }) => head)],
    posterior,
    ...plain.map(rowOf),
    ...report.methods.filter((summary) => summary.budget === undefined && !isPlain(summary)).map(rowOf),
    ...budgets.flatMap((budget) => {
      const own = report.methods.filter((summary) => summary.budget === budget && summary.answered === queries)
      return own.length > 0 ? [note(`within ${budget.toLocaleString('en')} tokens a query`), ...own.map(rowOf)] : []
    }),
  ]
  const embedded = plain.some(({ measures }) => measures.cosineDistance)
  return [
    `methods without training; ${queries} queries, each for ${perQuery} samples; means over queries`,
    plainTable(rows, { colAligns: ['left', ...columns.map(() => 'right' as const)] }),
    [
      `log R${rewardTemperature === 1 ? '' : ` of R^(1/${rewardTemperature})`} and KL(q ‖ posterior) in nats; ≤: a bound from above, of one sample`,
      "log p under the base model, log q under the method's own, mean / best; not comparable between methods: log q",
      `diversity: ${embedded ? 'mean pairwise cosine distance / log Gram determinant' : 'mean pairwise edit distance'}; tokens and seconds: forward tokens and one lane's time for a query`,
      'not known, and left out: KL of the states of a Markov chain, log q of what is chosen by reward',
      ...unansweredNote(unanswered),
    ].join('\n'),
    ...paidLines(report),
  ].join('\n\n')
}

const titleOf = ({ method, sampler, size, budget }: MethodSummary) => {
  const from = sampler === BASE ? '' : ', fine-tuned'
  const dial = budget === undefined ? '' : ` × ${size.toFixed(size < 10 ? 1 : 0)}`
  if (method === 'ancestral') return sampler === TUNED ? 'fine-tuned' : 'base model'
  return `${budget === undefined ? '' : '  '}${methods[method].title}${from}${dial}`
}

function unansweredNote(unanswered: readonly MethodSummary[]): string[] {
  const named = unanswered.map(({ method, sampler, budget }) => {
    const from = sampler === BASE ? '' : ', fine-tuned'
    return `${methods[method].title}${from} within ${budget?.toLocaleString('en')}`
  })
  return named.length > 0
    ? ['left out, as some queries need more or met no reward above zero:', ...named.map((name) => `  ${name}`)]
    : []
}

const quality: Record<Quality, string> = { logReward: 'mean log R', kl: 'KL' }

/** After how many queries training has paid, by each measure of quality, and what that assumes. */
function paidLines({ paid, trainingSeconds, methods: all, perQuery }: BaselineReport): string[] {
  const tuned = all.find(({ method, sampler }) => method === 'ancestral' && sampler === TUNED)
  const found = Object.entries(paid) as [Quality, NonNullable<BaselineReport['paid'][Quality]>][]
  if (!tuned || found.length === 0) return []
  const seconds = (value: number) => `${Number(value.toPrecision(2))} s`
  const rival = 'importance resampling from the base model'
  const lines = found.map(([name, { seconds: needed, forwardTokens, isReached, queries }]) => {
    const cost = `${seconds(needed)} (${Math.round(forwardTokens).toLocaleString('en')} tokens)`
    const by = `  by ${quality[name]}: `
    const count = queries.toLocaleString('en')
    if (queries === Number.POSITIVE_INFINITY)
      return isReached
        ? `${by}never: the base model is as good for ${cost} a query`
        : `${by}not known: ${rival} is not as good within the budgets; try a larger one`
    return isReached
      ? `${by}after ${count} queries; ${rival} is as good for ${cost} a query`
      : `${by}after less than ${count} queries; ${rival} is not yet as good for ${cost} a query`
  })
  return [
    [
      `training took ${duration(trainingSeconds)} of one lane; a query of ${perQuery} samples then takes ${seconds(value(tuned, 'seconds'))}. It has paid`,
      ...lines,
      '  (seconds of this machine; samples of a query are independent: each is resampled from proposals of its own; its KL is',
      '  a bound, which favours training, and equal mean log R need not be equal quality, which favours the rival)',
    ].join('\n'),
  ]
}
