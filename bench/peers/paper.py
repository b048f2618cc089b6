"""
The algorithm of the code that was published with Hu et al. (2024), written anew from a description of it. Its costs are kept:
every sample carries its own copy of the prompt; latents grow token by token with gradients through the cache, and that is
the only pass of the policy; the reward reads every text again from its beginning, once for each prefix where an ending
follows, with logits at all places; where a tool wrote, the cache is thrown away. Where the description leaves a choice the
cheaper one is taken: only the last logits while latents grow, no step for a stop that is forced.
"""

from __future__ import annotations

import copy

import torch
from peft import PeftModel
from torch import Tensor

from step import Step, demonstrations_cache, draw, ending_reward, padded


class Paper:
    def __init__(self, model: PeftModel, step: Step):
        self.model, self.step = model, step
        self.demonstrations = demonstrations_cache(model, step)  # once in a run, as there

    def sample(self) -> tuple[Tensor, Tensor]:
        """
        Grows all latents. What is drawn is put aside: the step's own tokens are taken, so that contestants can be compared.
        Returns log q of the actions and of stopping before each, [samples, actions] twice, with gradients.
        """
        step = self.step
        texts = [list(step.prompt) for _ in step.latents]
        cache = mask = None
        log_tokens, log_stops = [], []
        for k in range(step.actions):
            if cache is None:
                ids, mask = padded(texts, left=True)
                positions = (mask.cumsum(1) - 1).clamp(min=0)
            else:
                ids = torch.tensor([text[-1:] for text in texts])
                mask = torch.cat([mask, torch.ones_like(ids)], 1)
                positions = mask.sum(1, keepdim=True) - 1
            output = self.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, cache=cache, use_cache=True, logits_to_keep=1
            )
            cache = output.cache
            log_probs = output.logits[:, -1].log_softmax(-1)
            draw(log_probs, step.stop)
            action = torch.tensor([latent[states[k]] for latent, states in zip(step.latents, step.states)])
            log_tokens.append(log_probs.gather(1, action[:, None]).squeeze(1))
            log_stops.append(log_probs[:, step.stop])
            for text, latent, states in zip(texts, step.latents, step.states):
                text += latent[states[k] : states[k + 1]]  # the action, and what the tool wrote after it
                if states[k + 1] - states[k] > 1:
                    cache = None
        return torch.stack(log_tokens, 1), torch.stack(log_stops, 1)

    @torch.no_grad()
    def reward(self) -> Tensor:
        """log R at every state, [samples, actions + 1]."""
        with self.model.disable_adapter():
            return self._ended_rewards() if self.step.endings else self._whole_rewards()

    def _whole_rewards(self) -> Tensor:
        """log p of every prefix and of stopping there: one pass over all texts."""
        step = self.step
        latents = torch.tensor(step.latents)
        ids = torch.cat([torch.tensor(step.prompt).expand(step.samples, -1), latents], 1)
        log_probs = self.model(input_ids=ids).logits[:, len(step.prompt) - 1 :].log_softmax(-1)
        log_tokens = log_probs[:, :-1].gather(2, latents[:, :, None]).squeeze(2)
        log_prefix = torch.nn.functional.pad(log_tokens.cumsum(1), (1, 0))
        return log_prefix + log_probs[:, :, step.stop]

    def _ended_rewards(self) -> Tensor:
        """log p of every prefix and of what follows it: a pass for each state and each ending."""
        step = self.step
        shape = (step.samples, step.actions + 1)
        latent_scores, ending_scores = torch.empty(shape), torch.empty(len(step.endings), *shape)
        for k in range(step.actions + 1):
            for e, ending in enumerate(step.endings):
                prefixes = [latent[: states[k]] for latent, states in zip(step.latents, step.states)]
                latent_scores[:, k], ending_scores[e, :, k] = self._score(prefixes, ending)
        return latent_scores + ending_reward(ending_scores, step.label)

    def _score(self, prefixes: list[list[int]], ending: list[int]) -> tuple[Tensor, Tensor]:
        """log p of each prefix after the prompt, and of the ending after it: [samples] twice."""
        prompt = self.step.prompt
        ids, mask = padded([prompt + prefix + ending for prefix in prefixes])
        cache, seen = None, mask
        if self.demonstrations is not None:
            cache = copy.deepcopy(self.demonstrations)
            cache.batch_repeat_interleave(len(prefixes))
            seen = torch.cat([torch.ones(len(prefixes), len(self.step.demonstrations), dtype=mask.dtype), mask], 1)
        logits = self.model(input_ids=ids, attention_mask=seen, cache=cache).logits
        scores = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)  # of every token but the first
        place = torch.arange(1, ids.shape[1])
        begins = len(prompt) + torch.tensor([[len(prefix)] for prefix in prefixes])  # where the ending does
        in_latent = (place >= len(prompt)) & (place < begins)
        in_ending = (place >= begins) & (place < begins + len(ending))
        return (scores * in_latent).sum(1), (scores * in_ending).sum(1)

    def learn(self, sampled: tuple[Tensor, Tensor], log_rewards: Tensor) -> Tensor:
        """The loss of equation 3, one subtrajectory length after another, and its gradients through all steps of growing."""
        log_tokens, log_stops = sampled
        log_stops = torch.nn.functional.pad(log_stops, (0, 1))  # at the end stopping is forced
        before, after = slice(None, -1), slice(1, None)
        delta = log_rewards[:, before] - log_stops[:, before] + log_tokens - log_rewards[:, after] + log_stops[:, after]
        sums = torch.nn.functional.pad(delta.cumsum(1), (1, 0))
        total, pairs = 0.0, 0
        for length in range(1, sums.shape[1]):
            residuals = sums[:, length:] - sums[:, :-length]
            total = total + residuals.square().sum()
            pairs += residuals.numel()
        loss = total / pairs
        loss.backward()
        return loss
