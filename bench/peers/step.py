"""A step of the race as prepare.ts wrote it, the policy that takes it, and what both peers do alike."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache


@dataclass(frozen=True)
class Step:
    """One prompt and its latents. A state is a prefix after which the policy acts: not before a token that a tool wrote."""

    prompt: list[int]  # X as the policy reads it
    demonstrations: list[int]  # what the reference model reads before X
    latents: list[list[int]]  # what the reward scores and the policy learns from
    states: list[list[int]]  # [samples][actions + 1], lengths of prefixes, ascending
    endings: list[list[int]]  # all of one length; without any, the stop token is a part of the text
    label: int | None  # which ending the reward is for, against the others; None where there is one at most
    tool: dict  # "after": how many actions of the first latents come before its answer, "tokens": the answer
    stop: int
    temperature: float  # the reward is R ** (1 / temperature)
    optimizer: dict

    @property
    def samples(self) -> int:
        return len(self.latents)

    @property
    def actions(self) -> int:
        return len(self.states[0]) - 1


def answering() -> Callable[[object], None]:
    """Takes standard output for answers, a line of JSON each: libraries print too, and then print elsewhere."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return lambda value: print(json.dumps(value), file=answers, flush=True)


def read_step(path: Path) -> Step:
    return Step(**json.loads(path.read_text()))


def load_policy(folder: Path, dtype: torch.dtype) -> PeftModel:
    """The frozen model with its adapter, whose matrices alone have gradients. No dropout: every contestant computes the same."""
    base = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=dtype)
    return PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True).eval()


def draw(logits: Tensor, *forbidden: int) -> Tensor:
    """A token for each row, [rows, vocabulary] → [rows]; where the stop token is forbidden every latent has its full length."""
    with torch.no_grad():
        allowed = logits.detach().float().index_fill(-1, torch.tensor(forbidden, dtype=torch.long), -torch.inf)
        return torch.multinomial(allowed.softmax(-1), 1).squeeze(1)


def rows_of(cache: DynamicCache, rows: Tensor | list[int]) -> DynamicCache:
    """A new cache with these rows of another, in their order; a row may come more than once."""
    return DynamicCache([(layer.keys[rows], layer.values[rows]) for layer in cache.layers])


def demonstrations_cache(model: PeftModel, step: Step) -> DynamicCache | None:
    """Keys and values of the demonstrations under the reference model, one row; None where there are none."""
    if not step.demonstrations:
        return None
    with torch.no_grad(), model.disable_adapter():
        return model(input_ids=torch.tensor([step.demonstrations]), use_cache=True, logits_to_keep=1).cache


def ending_reward(scores: Tensor, label: int | None) -> Tensor:
    """log p of the ending, or of the right one as a fraction of all; scores are [endings, samples, prefixes]."""
    return scores[0] if label is None else scores[label] - scores.logsumexp(0)


def padded(texts: list[list[int]], left: bool = False) -> tuple[Tensor, Tensor]:
    """Texts of unequal length side by side, and where their tokens are: [rows, length] twice."""
    length = max(len(text) for text in texts)
    gaps = [[0] * (length - len(text)) for text in texts]
    ids = [gap + text if left else text + gap for text, gap in zip(texts, gaps)]
    ones = [[1] * len(text) for text in texts]
    mask = [gap + one if left else one + gap for one, gap in zip(ones, gaps)]
    return torch.tensor(ids), torch.tensor(mask)
