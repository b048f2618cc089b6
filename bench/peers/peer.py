"""
A peer in the race of race.ts: takes the step that is in a folder whenever a line says so, and answers with seconds by phase,
peak memory and what came out. `--describe` only tells versions, and whether the processor multiplies bfloat16.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all files are here

import peft  # noqa: E402
import rapidfuzz  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from paper import Paper  # noqa: E402
from step import Step, answering, load_policy, read_step  # noqa: E402
from tuned import Tuned  # noqa: E402

PEERS = {"paper": (Paper, torch.float32), "tuned": (Tuned, torch.float32), "tuned-bfloat16": (Tuned, torch.bfloat16)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--describe", action="store_true")
    parser.add_argument("--peer", choices=PEERS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()

    answer = answering()
    if arguments.describe:
        answer(describe())
        return
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(arguments.threads)
    peer_class, dtype = PEERS[arguments.peer]
    model = load_policy(arguments.folder, dtype)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    start = [parameter.detach().clone() for parameter in trained]
    answer({"ready": True})
    for run, _ in enumerate(sys.stdin):
        torch.manual_seed(run)
        with torch.no_grad():
            for parameter, value in zip(trained, start):
                parameter.copy_(value)
                parameter.grad = None
        step = read_step(arguments.folder / "step.json")
        answer(take(peer_class(model, step), step, trained))


def take(peer: Paper | Tuned, step: Step, trained: list[torch.nn.Parameter]) -> dict:
    """One step from the first adapter on; only sampling, rewards and learning are timed."""
    learning_rate, epsilon = step.optimizer["learningRate"], step.optimizer["epsilon"]
    optimizer = torch.optim.AdamW(
        trained, learning_rate, step.optimizer["betas"], epsilon, step.optimizer["weightDecay"]
    )
    times = [time.perf_counter()]
    sampled = peer.sample()
    times.append(time.perf_counter())
    rewards = peer.reward()
    times.append(time.perf_counter())
    loss = peer.learn(sampled, rewards / step.temperature)
    optimizer.step()
    times.append(time.perf_counter())
    sample, reward, learn = (after - before for before, after in zip(times, times[1:]))
    return {
        "seconds": {"sample": sample, "reward": reward, "learn": learn},
        "peakBytes": peak_bytes(),
        "loss": loss.item(),
        "gradientNorm": torch.nn.utils.get_total_norm([parameter.grad for parameter in trained]).item(),
        "logRewards": rewards.tolist(),
    }


def peak_bytes() -> int:
    """Peak resident memory of this process."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe() -> dict:
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    versions |= {"transformers": transformers.__version__, "peft": peft.__version__, "rapidfuzz": rapidfuzz.__version__}
    # without such instructions PyTorch computes bfloat16 in software, slower than float32
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return {"versions": versions, "bfloat16": has_bfloat16}


if __name__ == "__main__":
    main()
