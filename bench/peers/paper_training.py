"""
Trains as the paper's code does, on a problem that quality.ts wrote, and answers with the seconds so far whenever a snapshot of
the adapter lies in the folder. paper.py has the same algorithm for one step of given latents; here they are drawn, end where they
end, and are learned from. All latents of a step have one source, as there: the policy, the policy at one temperature, or what is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all files are here

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import PeftModel  # noqa: E402
from rapidfuzz.distance import Levenshtein  # noqa: E402
from torch import Tensor  # noqa: E402

from paper import Paper  # noqa: E402
from step import Step, answering, draw, load_policy  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    answer = answering()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(arguments.threads)

    problem = json.loads((arguments.folder / "problem.json").read_text())
    model = load_policy(arguments.folder, torch.float32)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    settings = problem["optimizer"]
    optimizer = torch.optim.AdamW(trained, 0.0, settings["betas"], settings["epsilon"], settings["weightDecay"])
    torch.manual_seed(problem["seed"])
    buffer, chance = Buffer(**problem["replay"]), random.Random(problem["seed"])
    seconds = 0.0
    for step, learning_rate in enumerate(problem["learningRates"], 1):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        update(model, problem, buffer, chance)
        if settings["maxGradientNorm"] is not None:
            torch.nn.utils.clip_grad_norm_(trained, settings["maxGradientNorm"])
        optimizer.step()
        optimizer.zero_grad()
        seconds += time.perf_counter() - started
        if step in problem["snapshots"]:
            model.save_pretrained(arguments.folder / "snapshots" / str(step))
            answer({"step": step, "seconds": seconds})


def update(model: PeftModel, problem: dict, buffer: Buffer, chance: random.Random) -> None:
    """The gradients of one step. What is replayed goes through the policy again and keeps its rewards."""
    sources = problem["sources"]
    which = chance.random()
    if which < sources["replay"] and buffer.kept:
        given, rewards = buffer.all()
        latents, log_tokens, log_stops = grow(model, problem, given=given)
    else:
        is_tempered = which < sources["replay"] + sources["tempered"]
        temperature = chance.uniform(*sources["temperatures"]) if is_tempered else 1.0
        latents, log_tokens, log_stops = grow(model, problem, temperature)
        rewards = log_rewards(model, problem, latents)
        buffer.insert(latents, rewards)
    lengths = torch.tensor([len(latent) for latent in latents])
    subtrajectory_loss(log_tokens, log_stops, rewards, lengths).backward()


class Buffer:
    """The best latents, no two of them near; capacity 0 keeps none."""

    def __init__(self, capacity: int, near: float):
        self.capacity, self.near = capacity, near
        self.kept: list[tuple[float, list[int], list[float]]] = []  # log R of the latent, its tokens, log R of its prefixes

    def insert(self, latents: list[list[int]], rewards: Tensor) -> None:
        for latent, row in zip(latents, rewards.tolist()):
            item = (row[len(latent)], latent, row[: len(latent) + 1])
            if any(tokens == latent for _, tokens, _ in self.kept):
                continue
            near = next((i for i, (_, tokens, _) in enumerate(self.kept) if self._is_near(tokens, latent)), None)
            if near is None:
                self.kept.append(item)
                self.kept = sorted(self.kept, key=lambda kept: -kept[0])[: self.capacity]
            elif self.kept[near][0] < item[0]:
                self.kept[near] = item

    def _is_near(self, a: list[int], b: list[int]) -> bool:
        return Levenshtein.distance(a, b) < (len(a) + len(b)) * self.near

    def all(self) -> tuple[list[list[int]], Tensor]:
        """Every latent, and log R at every prefix, [samples, states]; what lies after the end repeats it."""
        states = max(len(tokens) for _, tokens, _ in self.kept) + 1
        rows = [row + [row[-1]] * (states - len(row)) for _, _, row in self.kept]
        return [tokens for _, tokens, _ in self.kept], torch.tensor(rows)


def grow(
    model: PeftModel, problem: dict, temperature: float = 1.0, given: list[list[int]] | None = None
) -> tuple[list[list[int]], Tensor, Tensor]:
    """
    Draws latents token by token, or takes given ones, with gradients through the cache, every sample with its own copy of the
    prompt; who has ended goes along until all have. Returns log q of tokens and of stopping, [samples, states] twice: 0 after the
    end, and for the stop that is forced.
    """
    stop, most = problem["stop"], problem["maxTokens"]
    latents: list[list[int]] = [[] for _ in (given or range(problem["samples"]))]
    open_rows = torch.ones(len(latents), dtype=torch.bool)
    ids, cache = torch.tensor([problem["prompt"]] * len(latents)), None
    log_tokens, log_stops = [], []
    for k in range(most):
        output = model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1)
        cache = output.cache
        log_probs = output.logits[:, -1].log_softmax(-1)
        if given is None:
            forbidden = [stop] if k < problem["minTokens"] else []
            action = torch.where(open_rows, draw(log_probs / temperature, *forbidden), stop)
        else:
            action = torch.tensor([latent[k] if k < len(latent) else stop for latent in given])
        log_stops.append(torch.where(open_rows, log_probs[:, stop], 0))
        open_rows = open_rows & (action != stop)
        log_tokens.append(torch.where(open_rows, log_probs.gather(1, action[:, None]).squeeze(1), 0))
        for latent, token, is_open in zip(latents, action.tolist(), open_rows.tolist()):
            latent += [token] if is_open else []
        if not open_rows.any():
            break
        ids = action[:, None]
    log_tokens.append(torch.zeros_like(log_tokens[0]))
    log_stops.append(torch.zeros_like(log_stops[0]))
    return latents, torch.stack(log_tokens, 1), torch.stack(log_stops, 1)


@torch.no_grad()
def log_rewards(model: PeftModel, problem: dict, latents: list[list[int]]) -> Tensor:
    """log R at every prefix, [samples, states]; what lies after the end repeats it."""
    states = max(len(latent) for latent in latents) + 1
    lengths = [[min(k, len(latent)) for k in range(states)] for latent in latents]
    reward = problem["reward"]
    if reward["kind"] == "table":
        table = {tuple(tokens): value for tokens, value in reward["entries"]}
        otherwise = lambda tokens: reward["otherwise"] - len(tokens) * reward["perToken"]  # noqa: E731
        rows = [[tuple(latent[:k]) for k in own] for latent, own in zip(latents, lengths)]
        return torch.tensor([[table.get(tokens, otherwise(tokens)) for tokens in row] for row in rows])
    step = Step(
        prompt=reward["prompt"], demonstrations=[], latents=latents, states=lengths, endings=[reward["ending"]], label=None,
        tool={}, stop=problem["stop"], temperature=1.0, optimizer={},
    )  # fmt: skip
    return Paper(model, step).reward()


def subtrajectory_loss(log_tokens: Tensor, log_stops: Tensor, rewards: Tensor, lengths: Tensor) -> Tensor:
    """Equation 3 over all pairs of states of each latent, one subtrajectory length after another, over their number."""
    width = rewards.shape[1]  # no latent has more states
    before = torch.nn.functional.pad(log_tokens.cumsum(1), (1, 0))[:, :width]
    estimates = rewards - log_stops[:, :width] - before
    total, pairs = torch.zeros(()), 0
    for length in range(1, width):
        exists = torch.arange(length, width) <= lengths[:, None]
        residuals = (estimates[:, length:] - estimates[:, :-length])[exists]
        total = total + residuals.square().sum()
        pairs += residuals.numel()
    return total / max(pairs, 1)


if __name__ == "__main__":
    main()
