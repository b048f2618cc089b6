import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { placed } from './placed.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'placed-'))
})
afterEach(() => rmSync(home, { recursive: true }))

it('a file is made aside under its own name, and appears when it is finished', async () => {
  const path = join(home, 'model.gguf')
  const result = await placed(path, async (aside) => {
    expect(basename(aside)).toBe('model.gguf') // readers may know it by that
    writeFileSync(aside, 'whole')
    expect(existsSync(path)).toBe(false)
    return 7
  })
  expect(result).toBe(7)
  expect(readFileSync(path, 'utf8')).toBe('whole')
  expect(readdirSync(home)).toEqual(['model.gguf'])
})

it('what fails leaves nothing, and keeps its complaint', async () => {
  const attempt = placed(join(home, 'folder'), async (aside) => {
    mkdirSync(aside)
    writeFileSync(join(aside, 'part'), 'part')
    throw new Error('not the policy')
  })
  await expect(attempt).rejects.toThrow('not the policy')
  expect(readdirSync(home)).toEqual([])
})

it('what is there already is not touched, and no work begins', async () => {
  writeFileSync(join(home, 'taken'), 'mine')
  let began = false
  const attempt = placed(join(home, 'taken'), async () => {
    began = true
  })
  await expect(attempt).rejects.toThrow(/taken: there is something already/)
  expect(began).toBe(false)
  expect(readFileSync(join(home, 'taken'), 'utf8')).toBe('mine')
})

it('leftovers of a killed process go, those of a living one stay', async () => {
  const noProcess = 2 ** 22 + 1 // above the largest id that Linux gives
  mkdirSync(join(home, `made.partial-${noProcess}`))
  mkdirSync(join(home, `made.partial-${process.ppid}`))
  mkdirSync(join(home, `other.partial-${noProcess}`))
  await placed(join(home, 'made'), async (aside) => writeFileSync(aside, ''))
  expect(readdirSync(home)).toEqual(['made', `made.partial-${process.ppid}`, `other.partial-${noProcess}`].sort())
})
