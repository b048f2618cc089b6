import { UserError } from '../errors.ts'
import { type Report, writePictures } from '../tasks/report.ts'
import type { Terminal } from './terminal.ts'

/** Draws a report's pictures. @returns their files; where nothing can draw, none, and a line says why */
export async function drawnPictures(folder: string, report: Report, { stderr }: Terminal): Promise<string[]> {
  try {
    return await writePictures(folder, report)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    stderr.write(`warning: ${error.message}\n`)
    return []
  }
}
