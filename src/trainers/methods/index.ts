/** @file The table of ways to learn. */

import type { Collected } from '../collected.ts'
import { gflownet } from './gflownet.ts'
import type { Method } from './method.ts'
import type { MethodName } from './names.ts'
import { ppo } from './ppo.ts'
import { sft } from './sft.ts'

const methods: Record<MethodName, unknown> = { gflownet, ppo, sft }

/** What a method collects is between its own functions. */
export const methodOf = (name: MethodName) => methods[name] as Method<Collected>
