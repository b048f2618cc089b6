/** @file Files by their paths from the root of the repository, also those beside it that a fresh clone does not have. */
import { fileURLToPath } from 'node:url'

export const fromRoot = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))
