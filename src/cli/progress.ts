/** @file How far a long job is: one bar on a terminal, a plain line for every tenth elsewhere. Both on stderr. */
import cliProgress from 'cli-progress'
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

/** @param from where it begins: a resumed run has done a part already */
export function startProgress(output: Output, label: string, total: number, from = 0): Progress {
  const started = performance.now()
  const describe = (done: number, figures: string) => {
    const secondsLeft = ((performance.now() - started) / 1000 / (done - from)) * (total - done)
    const left = done > from ? `${duration(secondsLeft)} left` : 'starting'
    return [left, figures].filter(Boolean).join(', ')
  }
  return output.isTTY ? showBar(output, label, total, from, describe) : writeLines(output, label, total, from, describe)
}

type Describe = (done: number, figures: string) => string

function showBar(output: Output, label: string, total: number, from: number, describe: Describe): Progress {
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

function writeLines(output: Output, label: string, total: number, from: number, describe: Describe): Progress {
  let written = Math.floor((from * PLAIN_LINES) / total)
  return {
    at(done, figures = '') {
      const tenths = Math.floor((done * PLAIN_LINES) / total)
      if (tenths === written) return
      written = tenths
      output.write(`${label} ${done}/${total} (${Math.floor((done / total) * 100)}%): ${describe(done, figures)}\n`)
    },
    note: (line) => void output.write(`${line}\n`),
    stop: () => {},
  }
}

/** Part of a figure's history that a step leaves as it is: the figures of single steps jump. */
const SMOOTHING = 0.9

/** The few figures that matter, smoothed over some ten steps. */
export function trainingFigures(): (event: Extract<TrainingEvent, { kind: 'step' }>) => string {
  const smooth: Record<string, number> = {}
  const follow = (name: string, value: number) => {
    if (Number.isFinite(value)) smooth[name] = SMOOTHING * (smooth[name] ?? value) + (1 - SMOOTHING) * value
    return smooth[name] ?? Number.NaN
  }
  return ({ metrics }) => {
    const objective = follow('objective', metrics['loss/objective'])
    const logReward = follow('logReward', metrics['reward/logMean'])
    const rate = follow('rate', metrics['samples/count'] / metrics['time/stepSeconds'])
    const distinct = follow('distinct', metrics['samples/distinctFraction'])
    return [
      `objective ${objective.toFixed(2)}`,
      `log R ${logReward.toFixed(1)}`,
      `${rate.toFixed(0)} samples/s`,
      `${(distinct * 100).toFixed(0)}% distinct`,
    ].join(', ')
  }
}
