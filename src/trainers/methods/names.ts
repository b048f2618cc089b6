/** @file The names of the ways to learn, apart from what they do: a config needs no more. */
export const methodNames = ['gflownet', 'ppo', 'sft'] as const

export type MethodName = (typeof methodNames)[number]
