import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { readText } from './text-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'text-file-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

const refusal = (name: string, content: Uint8Array, message: string) =>
  expect(readText(file(name, content))).rejects.toThrow(expect.objectContaining({ name: 'UserError', message }))

test('text is read as it stands, without its byte order mark', async () => {
  const text = '  Ünïcode ⊤ 🙂\r\n\ttail '
  expect(await readText(file('plain.txt', text))).toBe(text)
  expect(await readText(file('mark.txt', `\ufeff${text}`))).toBe(text)
  expect(await readText(file('empty.txt', ''))).toBe('')
})

test('gzipped text is unpacked', async () => {
  expect(await readText(file('plain.txt.gz', gzipSync('one\ntwo')))).toBe('one\ntwo')
})

test('a missing file and a folder are refused by name', async () => {
  await expect(readText(join(folder, 'none.csv'))).rejects.toThrow(`${join(folder, 'none.csv')}: there is no such file`)
  await expect(readText(folder)).rejects.toThrow(`${folder}: this is a folder; name a file in it`)
})

test('bytes that are not UTF-8 are refused with their line', async () => {
  const latin = Uint8Array.of(...Buffer.from('one\nÿés is fine\n'), ...Buffer.from('caf\u00e9\nfour', 'latin1'))
  await refusal('latin.txt', latin, `${join(folder, 'latin.txt')}, line 3: not UTF-8, or not text; save it as UTF-8`)
  const last = Uint8Array.of(0x61, 0x0a, 0xc3) // a character cut off at the end
  await refusal('cut.txt', last, `${join(folder, 'cut.txt')}, line 2: not UTF-8, or not text; save it as UTF-8`)
  await refusal(
    'one.txt',
    Uint8Array.of(0xff),
    `${join(folder, 'one.txt')}, line 1: not UTF-8, or not text; save it as UTF-8`,
  )
})

test('UTF-16 is called by its name', async () => {
  const utf16 = Buffer.from('\ufeffa,b\n', 'utf16le')
  await refusal('wide.csv', utf16, `${join(folder, 'wide.csv')}: this is UTF-16, not UTF-8; save it as UTF-8`)
})

test.each([
  ['cut off', gzipSync('some text that is long enough').subarray(0, 20)],
  ['not gzip at all', Buffer.from('plain')],
])('a .gz file that is %s is refused', async (what, bytes) => {
  const name = `${what}.txt.gz`
  await refusal(name, bytes, `${join(folder, name)}: this is no gzip file, or it is damaged or cut off`)
})
