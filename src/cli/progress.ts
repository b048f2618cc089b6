/** @file How far a long job is: one bar on a terminal, a plain line for every tenth elsewhere. Both on stderr. */
import cliProgress from 'cli-progress'
import { formatBytes } from '../files.ts'
import type { LoadOptions } from '../models/language-model.ts'
import type { TrainingEvent } from '../trainers/events.ts'
import { duration, type Output } from './terminal.ts'

export type Progress = {
  at: (done: number, figures?: string) => void
  /** A line that stays. */
  note: (line: string) => void
  stop: () => void
}

const PLAIN_LINES = 10
const BAR_WIDTH = 24
const DEFAULT_COLUMNS = 80

/**
 * @param from where it begins: a resumed run has done a part already
 * @param show how a number of what is done is written
 */
export function startProgress(
  output: Output,
  label: string,
  total: number,
  { from = 0, show = String }: { from?: number; show?: (done: number) => string } = {},
): Progress {
  const started = performance.now()
  const describe = (done: number, figures: string) => {
    const secondsLeft = ((performance.now() - started) / 1000 / (done - from)) * (total - done)
    const left = done > from ? `${duration(secondsLeft)} left` : 'starting'
    return [left, figures].filter(Boolean).join(', ')
  }
  const shown = { label, total, from, show, describe }
  return output.isTTY ? showBar(output, shown) : writeLines(output, shown)
}

type Shown = {
  label: string
  total: number
  from: number
  show: (done: number) => string
  describe: (done: number, figures: string) => string
}

function showBar(output: Output, { label, total, from, describe }: Shown): Progress {
  const bar = new cliProgress.SingleBar({
    stream: output,
    clearOnComplete: true,
    linewrap: true, // turned off, it stays off in the user's terminal where a second Ctrl-C ends the process
    barsize: BAR_WIDTH,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    format: (options, { progress }, { text }) => {
      const bar = cliProgress.Format.BarFormat(progress, options)
      const line = `${label} ${bar} ${Math.floor(progress * 100)}%  ${text}`
      return line.slice(0, (output.columns ?? DEFAULT_COLUMNS) - 1)
    },
  })
  bar.start(total, from, { text: describe(from, '') })
  return {
    at: (done, figures = '') => bar.update(done, { text: describe(done, figures) }),
    note: (line) => void output.write(`\r\x1b[K${line}\n`), // in the place of the bar, which is drawn again below
    stop: () => bar.stop(),
  }
}

function writeLines(output: Output, { label, total, from, show, describe }: Shown): Progress {
  let written = Math.floor((from * PLAIN_LINES) / total)
  return {
    at(done, figures = '') {
      const tenths = Math.floor((done * PLAIN_LINES) / total)
      if (tenths === written) return
      written = tenths
      output.write(
        `${label} ${show(done)}/${show(total)} (${Math.floor((done / total) * 100)}%): ${describe(done, figures)}\n`,
      )
    },
    note: (line) => void output.write(`${line}\n`),
    stop: () => {},
  }
}

/** Shows a download, file after file. */
export function downloadProgress(output: Output): NonNullable<LoadOptions['onDownload']> {
  let current: { file: string; from: number; started: number; progress: Progress } | undefined
  return ({ file, received, size }) => {
    if (current?.file !== file) {
      current?.progress.stop()
      const progress = startProgress(output, file, size, { from: received, show: formatBytes })
      current = { file, from: received, started: performance.now(), progress }
    }
    const { from, started, progress } = current
    const rate = (received - from) / ((performance.now() - started) / 1000)
    progress.at(received, received > from ? `${formatBytes(rate)}/s` : '')
    if (received === size) progress.stop()
  }
}

/** Part of a figure's history that a step leaves as it is: the figures of single steps jump. */
const SMOOTHING = 0.9

/** The few figures that matter, smoothed over some ten steps of a phase. */
export function trainingFigures(): (event: Extract<TrainingEvent, { kind: 'step' }>) => string {
  let smooth: Record<string, number> = {}
  let current: string | undefined
  const follow = (name: string, value: number) => {
    if (Number.isFinite(value)) smooth[name] = SMOOTHING * (smooth[name] ?? value) + (1 - SMOOTHING) * value
    return smooth[name] ?? Number.NaN
  }
  return ({ metrics, phase }) => {
    if (phase?.name !== current) smooth = {}
    current = phase?.name
    const objective = follow('objective', metrics['loss/objective'])
    const logReward = follow('logReward', metrics['reward/logMean'])
    const lowerBound = follow('lowerBound', metrics['evidence/lowerBound'])
    const rate = follow('rate', metrics['samples/count'] / metrics['time/stepSeconds'])
    const distinct = follow('distinct', metrics['samples/distinctFraction'])
    return [
      ...(phase ? [`round ${phase.round}, ${phase.name}`] : []),
      `objective ${objective.toFixed(2)}`,
      ...(Number.isFinite(logReward) ? [`log R ${logReward.toFixed(1)}`] : []), // not every method asks for rewards
      ...(Number.isFinite(lowerBound) ? [`log p(Y) at least ${lowerBound.toFixed(2)}`] : []),
      `${rate.toFixed(0)} samples/s`,
      `${(distinct * 100).toFixed(0)}% distinct`,
    ].join(', ')
  }
}
