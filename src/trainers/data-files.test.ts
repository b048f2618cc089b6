import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, expectTypeOf, test } from 'vitest'
import { UserError } from '../errors.ts'
import { readTable } from './data-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'data-files-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

/** What the user is told, with the file's folder left out. */
async function complaint(read: Promise<unknown>): Promise<string> {
  const error = await read.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(error).toBeInstanceOf(UserError)
  return (error as UserError).message.replaceAll(join(folder, '/'), '')
}

const rows = [
  { beginning: 'Once, "there" was a cat. ', ending: 'They\nwent home.' },
  { beginning: 'Zwölf Bären', ending: ' 12' },
]
const csv =
  '\ufeffid,beginning,ending\r\n1,"Once, ""there"" was a cat. ","They\nwent home."\r\n\r\n2,Zwölf Bären, 12\r\n'
const jsonLines = rows.map((row) => JSON.stringify(row)).join('\r\n\n')

test.each([
  ['a.csv', csv],
  ['a.CSV', csv],
  [
    'a.tsv',
    csv
      .replaceAll('1,"', '1\t"')
      .replaceAll('","', '"\t"')
      .replaceAll(/,(?=b|e|Z| 12)/g, '\t'),
  ],
  ['a.jsonl', jsonLines],
  ['a.json', JSON.stringify(rows)],
  ['a.csv.gz', gzipSync(csv)],
  ['a.jsonl.gz', gzipSync(jsonLines)],
])('%s gives its rows, to the last space', async (name, content) => {
  expect(await readTable(file(name, content), ['beginning', 'ending'])).toEqual(rows)
})

test('a text file gives its lines, to the last space, and blank lines are none', async () => {
  const path = file('prompts.txt', 'The council met. \r\n\n  Nobody came.\n')
  expect(await readTable(path, ['prompt'])).toEqual([{ prompt: 'The council met. ' }, { prompt: '  Nobody came.' }])
})

test('the columns of a text file are separated by tabs', async () => {
  const columns = ['beginning', 'ending'] as const
  expect(await readTable(file('tabs.txt', 'Once.\tThe end. \n\nTwice.\tAgain.'), columns)).toEqual([
    { beginning: 'Once.', ending: 'The end. ' },
    { beginning: 'Twice.', ending: 'Again.' },
  ])
  expect(await complaint(readTable(file('two.txt', 'a\tb\na\n'), columns))).toBe(
    'two.txt, line 2: beginning and ending are needed with a tab between them, and the line has none; separate them by tabs, or use .csv or .jsonl',
  )
})

test('a column can be the texts of several, joined by spaces', async () => {
  const path = file('joined.csv', 's1,s2,s3\na,b,c\n')
  const columns = { beginning: ['s1', 's2'], ending: 's3' }
  expect(await readTable(path, ['beginning', 'ending'], { columns })).toEqual([{ beginning: 'a b', ending: 'c' }])
  expect(await complaint(readTable(path, ['beginning'], { columns: { beginning: ['s1', 's4'] } }))).toBe(
    'joined.csv: there is no column "s4", only "s1", "s2", "s3"; rename one, or map it',
  )
})

test('columns can be mapped to the names of the file', async () => {
  const path = file('mapped.csv', 'sentence1,sentence5\na,b\n')
  const mapped = await readTable(path, ['beginning', 'ending'], {
    columns: { beginning: 'sentence1', ending: 'sentence5' },
  })
  expect(mapped).toEqual([{ beginning: 'a', ending: 'b' }])
})

test('an optional column is absent where the file says nothing', async () => {
  const path = file('optional.csv', 'text,label\na,yes\nb,\n')
  const read = await readTable(path, ['text'], { optional: ['label', 'comment'] })
  expect(read).toEqual([{ text: 'a', label: 'yes' }, { text: 'b' }])
  expectTypeOf(read[0].text).toEqualTypeOf<string>()
  expectTypeOf(read[0].label).toEqualTypeOf<string | undefined>()
})

test('a list of texts in JSON is read with commas between, another list as JSON writes it', async () => {
  const path = file('lists.jsonl', '{"words":["dog","park"],"counts":[1,2]}')
  expect(await readTable(path, ['words', 'counts'])).toEqual([{ words: 'dog, park', counts: '[1,2]' }])
})

test('numbers and truth values of JSON are read as text, null as nothing', async () => {
  const path = file('kinds.jsonl', '{"a": 12.5, "b": true, "c": null}')
  expect(await readTable(path, ['a', 'b'], { optional: ['c'] })).toEqual([{ a: '12.5', b: 'true' }])
})

test('a missing column names those that exist and the nearest', async () => {
  const path = file('columns.csv', 'id,Ending,middle\n1,2,3\n')
  expect(await complaint(readTable(path, ['ending', 'beginning']))).toBe(
    [
      'columns.csv: there is no column "ending", only "id", "Ending", "middle"; did you mean "Ending"? Rename it, or map it',
      'columns.csv: there is no column "beginning", only "id", "Ending", "middle"; rename one, or map it',
    ].join('\n'),
  )
})

test('empty fields of a required column are told with their lines, all at once', async () => {
  const path = file('holes.csv', 'a,b\n1,"two\nlines"\n, x\n3,   \n4,\n')
  expect(await complaint(readTable(path, ['a', 'b']))).toBe(
    [
      'holes.csv: 1 row has nothing in column "a" (line 4); fill or remove it',
      'holes.csv: 2 rows have nothing in column "b" (line 5, line 6); fill or remove them',
    ].join('\n'),
  )
})

test('of many empty fields the first five are named', async () => {
  const path = file('many.jsonl', '{"a":"x"}\n'.concat('{"b":"x"}\n'.repeat(9)))
  expect(await complaint(readTable(path, ['a']))).toBe(
    'many.jsonl: 9 rows have nothing in column "a" (line 2, line 3, line 4, line 5, line 6, …); fill or remove them',
  )
})

test.each([
  ['none.csv', 'a,b\n', 'none.csv: there are no rows in it'],
  ['void.csv', '', 'void.csv: there are no rows in it'],
  ['void.txt', ' \n\n', 'void.txt: there are no rows in it'],
  ['void.json', '[]', 'void.json: there are no rows in it'],
  ['long.csv', 'a,b\n1,2\n1,2,3\n', 'long.csv: Invalid Record Length: expect 2, got 3 on line 3'],
  ['open.csv', 'a,b\n1,"2\n', 'open.csv: Quote Not Closed: the parsing is finished with an opening quote at line 2'],
  ['twice.csv', 'a,b,a\n1,2,3\n', 'twice.csv: two columns are called "a"'],
  ['list.jsonl', '{"a":"1"}\n[2]\n', 'list.jsonl, line 2: this is no object; write {"column": "text", …}'],
  ['object.json', '{"a":"1"}', 'object.json: this is no list of objects'],
  ['entry.json', '[{"a":"1"}, 7]', 'entry.json, entry 2: this is no object; write {"column": "text", …}'],
  [
    'a.xlsx',
    'x',
    'a.xlsx: cannot tell the format from ".xlsx"; use .csv, .tsv, .jsonl, .json, .txt, or one of them with .gz',
  ],
])('%s with %j is refused by name', async (name, content, message) => {
  expect(await complaint(readTable(file(name, content), ['a']))).toBe(message)
})

test('a line that is not JSON is refused with its number', async () => {
  const told = await complaint(readTable(file('broken.jsonl', '{"a":"1"}\n\n{"a":\n'), ['a']))
  expect(told).toMatch(/^broken\.jsonl, line 3: not JSON \(/)
})

test('a missing file is refused by name', async () => {
  expect(await complaint(readTable(join(folder, 'nowhere.csv'), ['a']))).toBe('nowhere.csv: there is no such file')
})
