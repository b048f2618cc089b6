import { describe, expect, test } from 'vitest'
import { statesOf } from '../../src/sampling/latent.ts'
import { insertedOf, stepOf, workloadNames, workloads } from './workloads.ts'

const VOCABULARY = 512

describe.each(workloadNames)('a step of %s', (name) => {
  const step = stepOf(workloads[name], VOCABULARY, { seed: 1, number: 0 })

  test('has as many actions in every latent, and no stop token', () => {
    const inserted = insertedOf(step)
    for (const [n, latent] of step.latents.entries()) {
      expect(latent.length - inserted[n].length).toBe(workloads[name].actions)
      expect(latent).not.toContain(step.stop)
    }
  })

  test('says the states that the library reads from the tokens which a tool wrote', () => {
    const inserted = insertedOf(step)
    expect(step.states).toEqual(step.latents.map((latent, n) => statesOf(latent.length, inserted[n])))
  })

  test('is the same for equal addresses; other steps of the run share its demonstrations alone', () => {
    const [again, next] = [0, 1].map((number) => stepOf(workloads[name], VOCABULARY, { seed: 1, number }))
    expect(again).toEqual(step)
    expect(next.demonstrations).toEqual(step.demonstrations)
    expect(next.prompt).not.toEqual(step.prompt)
    expect(next.latents).not.toEqual(step.latents)
  })
})

test('a tool answers in a third of the latents of arithmetic, not in all of them at the same place', () => {
  const { tool, latents, states } = stepOf(workloads.arithmetic, VOCABULARY, { seed: 1, number: 0 })
  expect(tool.after).toEqual([4, 4, 4, 5, 5, 6, 6])
  for (const [n, actions] of tool.after.entries()) {
    expect(latents[n].slice(actions, actions + 2)).toEqual(tool.tokens)
    expect(states[n][actions] - states[n][actions - 1]).toBe(3) // the action and the answer
  }
})

test('the endings of labels are alike in their first words alone', () => {
  const { endings } = stepOf(workloads.labels, VOCABULARY, { seed: 1, number: 0 })
  expect(new Set(endings.map((ending) => ending.slice(0, 4).join())).size).toBe(1)
  expect(new Set(endings.map((ending) => ending[4])).size).toBe(3)
})
