import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../random.ts'
import { calibration } from '../calibration.ts'
import { qualityAgainstCost } from './costs.ts'
import { trainingCurves } from './curves.ts'
import { frontier } from './frontier.ts'
import { numberHistogram } from './histogram.ts'
import type { Picture } from './picture.ts'
import { reliabilityDiagram } from './reliability.ts'
import { renderPng, renderSvg, writePicture } from './render.ts'

const draws = seededRandom(1).at('pictures')
const heading = { title: 'A title', subtitle: 'what the marks show' }
const run = (from: number, steps = 30) => Array.from({ length: steps }, (_, x) => ({ x, y: from + draws.normal() }))
const curves = ['subtrajectory balance', 'trajectory balance'].map((name) => ({ name, runs: [run(-40), run(-39)] }))
const three = (mean: number) => [mean, mean + 0.2, mean - 0.1]
const confidence = Array.from({ length: 300 }, () => draws.uniform())

/** Every picture, with texts that must be in it. */
const pictures: Record<string, { picture: Picture; texts: string[] }> = {
  'a training curve': {
    picture: trainingCurves(heading, [{ title: 'mean log R, nats', curves }], { smooth: 5 }),
    texts: ['step', 'mean log R, nats', 'subtrajectory balance', 'trajectory balance'],
  },
  'several metrics of one run': {
    picture: trainingCurves(
      heading,
      ['loss, nats²', 'gradient norm', 'distinct fraction'].map((title) => ({
        title,
        curves: [{ name: 'seed 0', runs: [run(3)] }],
      })),
    ),
    texts: ['loss, nats²', 'gradient norm', 'distinct fraction'],
  },
  'quality against cost': {
    picture: qualityAgainstCost(
      heading,
      ['KL(q ‖ posterior), nats', 'mean log R, nats'].map((title, k) => ({
        quality: { title },
        curves: ['importance resampling', 'best of n'].slice(k).flatMap((name, i) =>
          ['base model', 'fine-tuned'].map((variant, v) => ({
            name,
            variant,
            points: [0.1, 1, 10].map((cost, j) => ({ cost: three(cost), quality: three(7 - 3 * i - j - v) })),
          })),
        ),
        ...(k === 1 && { level: { value: 5, label: 'of the posterior' } }),
      })),
      { title: 'seconds', isLogarithmic: true },
    ),
    texts: [
      ...['seconds', 'KL(q ‖ posterior), nats', 'mean log R, nats', 'of the posterior', '1', '10'],
      ...['importance resampling', 'base model', 'fine-tuned'],
    ],
  },
  'the frontier': {
    picture: frontier(
      heading,
      ['mean log-likelihood, nats', 'best log-likelihood, nats'].map((title) => ({
        logLikelihood: { title },
        curves: ['tempered', 'beam'].map((name, i) => ({
          name,
          settings: [0, 1, 2].map((j) => ({ logLikelihood: three(-20 - j - 5 * i), diversity: three(0.2 * j + i) })),
        })),
      })),
    ),
    texts: [
      ...['mean log-likelihood, nats', 'best log-likelihood, nats', 'diversity: mean pairwise cosine distance'],
      ...['tempered', 'beam'],
    ],
  },
  'a histogram of numbers': {
    picture: numberHistogram(heading, [
      { name: 'base model', probabilities: Array.from({ length: 101 }, (_, i) => (i % 10 ? 0.002 : 0.04)) },
      { name: 'fine-tuned', probabilities: new Float64Array(101).fill(1 / 101) },
    ]),
    texts: ['base model', 'fine-tuned', 'probability', 'number', '100'],
  },
  'a reliability diagram': {
    picture: reliabilityDiagram(heading, [
      {
        name: 'zero-shot',
        calibration: calibration(
          confidence,
          confidence.map((c) => draws.uniform() < c / 2),
        ),
      },
      {
        name: 'voting',
        calibration: calibration(
          confidence,
          confidence.map((c) => draws.uniform() < c),
        ),
      },
    ]),
    texts: ['confidence', 'accuracy', 'share of answers'],
  },
}

const fonts = ['400Regular/Inter_400Regular', '600SemiBold/Inter_600SemiBold'].map((name) =>
  readFileSync(createRequire(import.meta.url).resolve(`@expo-google-fonts/inter/${name}.ttf`)),
)

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

describe.each(Object.entries(pictures))('%s', (_, { picture, texts }) => {
  test('is a specification that Vega-Lite compiles without a warning', async () => {
    const { compile } = await import('vega-lite')
    const complaints: unknown[] = []
    const complain = (...words: unknown[]) => {
      complaints.push(...words)
      return logger
    }
    const silent = () => logger
    const logger = { level: silent, error: complain, warn: complain, info: silent, debug: silent }
    compile(JSON.parse(JSON.stringify(picture)), { logger } as unknown as Parameters<typeof compile>[1])
    expect(complaints).toEqual([])
  })

  test('says its title, its axes with their units, and its names', async () => {
    const svg = await renderSvg(picture)
    for (const text of [heading.title, heading.subtitle, ...texts])
      expect(svg.includes(`>${text}</text>`), text).toBe(true)
    expect(/NaN|undefined|…/.exec(svg)).toBeNull()
  })

  test('is drawn with nothing cut off at its edges, and looks the same each time', async () => {
    const svg = await renderSvg(picture)
    const png = await renderPng(svg)
    expect([...png.subarray(1, 4)].map((byte) => String.fromCharCode(byte)).join('')).toBe('PNG')
    expect(await renderPng(await renderSvg(picture))).toEqual(png)
    const { Resvg } = await import('@resvg/resvg-wasm')
    const { width, height, pixels } = new Resvg(svg, {
      font: { fontBuffers: fonts, loadSystemFonts: false, defaultFontFamily: 'Inter' },
    }).render()
    expect(Math.min(width, height)).toBeGreaterThan(300)
    const margin = 6
    const edges = [...range(0, margin), ...range(height - margin, height)].flatMap((y) =>
      range(0, width).map((x) => [x, y]),
    )
    const sides = range(0, height).flatMap((y) =>
      [...range(0, margin), ...range(width - margin, width)].map((x) => [x, y]),
    )
    const stained = [...edges, ...sides].filter(([x, y]) => pixels[4 * (y * width + x)] < 255)
    expect(stained).toEqual([])
    expect(pixels.some((value) => value < 128)).toBe(true)
  })
})

test('the errors of a reliability diagram stand beside the names', async () => {
  const svg = await renderSvg(pictures['a reliability diagram'].picture)
  expect(svg).toMatch(/>zero-shot \(error 0\.2\d\d\)<\/text>/)
  expect(svg).toMatch(/>voting \(error 0\.0\d\d\)<\/text>/)
})

test('a picture is written as SVG and as PNG', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pictures-'))
  const { svg, png } = await writePicture(join(folder, 'curve'), pictures['a training curve'].picture)
  expect(readFileSync(svg, 'utf8')).toMatch(/^<svg/)
  expect(readFileSync(png).subarray(1, 4).toString()).toBe('PNG')
  rmSync(folder, { recursive: true })
})
