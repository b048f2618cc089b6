/**
 * @file Pictures as SVG and PNG, without a browser and without a display. The libraries that draw are large and few
 * installations need them, so they are optional: they are loaded when the first picture is drawn.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { UserError } from '../../errors.ts'
import { writeWhole } from '../../files.ts'
import type { Picture } from './picture.ts'

/** What `npm install` must be told where pictures are wanted. */
const LIBRARIES = ['vega', 'vega-lite', '@resvg/resvg-wasm', '@expo-google-fonts/inter']

/** Pixels of a PNG for each of the SVG's: sharp on dense screens and in print. */
const SCALE = 2

/** Inter's mean advance in ems; Vega's own guess without a canvas is much wider, and leaves holes between legend entries. */
const MEAN_ADVANCE = 0.53

/** Vega's, which its types leave out. */
type TextMetrics = { width: (item: { fontSize?: number }, text?: unknown) => number }

/** @throws UserError where the libraries that draw are not installed */
export async function renderSvg(picture: Picture): Promise<string> {
  const [vega, { compile }] = await installed(() => Promise.all([import('vega'), import('vega-lite')]))
  const { textMetrics } = vega as unknown as { textMetrics: TextMetrics }
  textMetrics.width = ({ fontSize = 11 }, text) => MEAN_ADVANCE * fontSize * String(text ?? '').length
  const { spec } = compile(picture as unknown as Parameters<typeof compile>[0])
  const view = new vega.View(vega.parse(spec), { renderer: 'none' })
  try {
    return await view.toSVG()
  } finally {
    view.finalize()
  }
}

/** @throws UserError where the libraries that draw are not installed */
export async function renderPng(svg: string): Promise<Uint8Array> {
  const { Resvg } = await installed(rasteriser)
  const fonts = ['400Regular/Inter_400Regular', '600SemiBold/Inter_600SemiBold'].map((name) =>
    readFileSync(fileOf(`@expo-google-fonts/inter/${name}.ttf`)),
  )
  const image = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: SCALE },
    font: { fontBuffers: fonts, loadSystemFonts: false, defaultFontFamily: 'Inter' },
  })
  try {
    return image.render().asPng()
  } finally {
    image.free()
  }
}

/** Writes path.svg and path.png. @throws UserError where the libraries that draw are not installed, or the disk refuses */
export async function writePicture(path: string, picture: Picture): Promise<{ svg: string; png: string }> {
  const svg = await renderSvg(picture)
  const png = await renderPng(svg)
  writeWhole(`${path}.svg`, [svg])
  writeWhole(`${path}.png`, [png])
  return { svg: `${path}.svg`, png: `${path}.png` }
}

let started: Promise<typeof import('@resvg/resvg-wasm')> | undefined // its memory can be set up only once

function rasteriser() {
  started ??= import('@resvg/resvg-wasm').then(async (resvg) => {
    await resvg.initWasm(readFileSync(fileOf('@resvg/resvg-wasm/index_bg.wasm')))
    return resvg
  })
  return started
}

const fileOf = (path: string) => createRequire(import.meta.url).resolve(path)

async function installed<Libraries>(load: () => Promise<Libraries>): Promise<Libraries> {
  try {
    return await load()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error
    const fix = `npm install ${LIBRARIES.join(' ')}`
    throw new UserError({ what: 'the libraries that draw pictures are not installed', where: 'pictures', fix })
  }
}
