"""
What a good PyTorch engineer would write for the same step: latents are drawn without gradients from one copy of the prompt;
logits are made only where a token is asked for; the policy learns in one teacher-forced pass; the prompt, every latent and
every ending are read once for the reward, endings after all prefixes in large batches over the latents' keys and values.
"""

from __future__ import annotations

import torch
from peft import PeftModel
from torch import Tensor
from transformers import DynamicCache

from step import Step, demonstrations_cache, draw, ending_reward, padded, rows_of

BRANCHES_AT_ONCE = 64  # each takes a copy of its latent's keys and values


class Tuned:
    def __init__(self, model: PeftModel, step: Step):
        self.model, self.step = model, step
        self.demonstrations = demonstrations_cache(model, step)

    @torch.no_grad()
    def sample(self) -> list[list[int]]:
        """Draws latents. Each row is fed one token a step, also those that the tool wrote; rows that have ended leave."""
        step = self.step
        first = self.model(input_ids=torch.tensor([step.prompt]), use_cache=True, logits_to_keep=1)
        logits = first.logits[:, -1].expand(step.samples, -1)
        cache = rows_of(first.cache, [0] * step.samples)
        latents: list[list[int]] = [[] for _ in range(step.samples)]
        actions = [0] * step.samples
        answers_after = dict(enumerate(step.tool["after"]))
        rows, fed = list(range(step.samples)), 0
        while rows:
            for row, token in zip(rows, draw(logits, step.stop).tolist()):
                if len(latents[row]) > fed:
                    continue  # it has tokens in hand that it did not draw
                latents[row].append(token)
                actions[row] += 1
                if answers_after.get(row) == actions[row]:
                    latents[row] += step.tool["tokens"]
            places = [i for i, row in enumerate(rows) if actions[row] < step.actions]
            if len(places) < len(rows):
                cache.batch_select_indices(torch.tensor(places, dtype=torch.long))
                rows = [rows[i] for i in places]
            if rows:
                ids = torch.tensor([[latents[row][fed]] for row in rows])
                logits = self.model(input_ids=ids, cache=cache, use_cache=True).logits[:, -1]
            fed += 1
        return latents

    @torch.no_grad()
    def reward(self) -> Tensor:
        """log R at every state, [samples, actions + 1]."""
        step = self.step
        with self.model.disable_adapter():
            cache = None if self.demonstrations is None else rows_of(self.demonstrations, [0])
            first = self.model(input_ids=torch.tensor([step.prompt]), cache=cache, use_cache=True, logits_to_keep=1)
            cache = rows_of(first.cache, [0] * step.samples)
            before = cache.get_seq_length()
            ids, mask = padded(step.latents)
            seen = torch.cat([torch.ones(step.samples, before, dtype=mask.dtype), mask], 1)
            output = self.model(input_ids=ids, attention_mask=seen, cache=cache, use_cache=True)
            logits = torch.cat([first.logits.expand(step.samples, -1, -1), output.logits], 1)  # after every prefix

            nexts = torch.nn.functional.pad(ids, (0, 1))[:, :, None]  # what follows the whole latent is not read
            asked = [ending[0] for ending in step.endings] or [step.stop]
            tokens = torch.cat([nexts, torch.tensor(asked).expand(*nexts.shape[:2], -1)], 2)
            scores = log_probabilities(logits, tokens)
            log_prefix = torch.nn.functional.pad(scores[:, :-1, 0].cumsum(1), (1, 0))
            at_states = torch.tensor(step.states)
            log_prefix = log_prefix.gather(1, at_states)
            after = scores[:, :, 1:].gather(1, at_states[:, :, None].expand(-1, -1, len(asked)))  # [samples, prefixes, asked]
            if not step.endings:
                return log_prefix + after[:, :, 0]
            ending_scores = after.permute(2, 0, 1) + self._later_tokens(output.cache, before)
            return log_prefix + ending_reward(ending_scores, step.label)

    def _later_tokens(self, latents: DynamicCache, before: int) -> Tensor:
        """log p of all tokens of each ending but the first, after every state: [endings, samples, prefixes]."""
        step = self.step
        endings, states = torch.tensor(step.endings), torch.tensor(step.states)
        branches = torch.cartesian_prod(*(torch.arange(n) for n in (len(endings), *states.shape)))
        places = torch.arange(latents.get_seq_length() - before)
        scores = []
        for ending, sample, k in (part.unbind(1) for part in branches.split(BRANCHES_AT_ONCE)):
            length = states[sample, k][:, None]
            ids = endings[ending][:, :-1]
            is_prefix = (places < length).long()
            mask = torch.cat([is_prefix.new_ones(len(ids), before), is_prefix, torch.ones_like(ids)], 1)
            positions = before + length + torch.arange(ids.shape[1])
            cache = rows_of(latents, sample)
            logits = self.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, cache=cache, use_cache=True
            ).logits
            scores.append(log_probabilities(logits, endings[ending][:, 1:, None]).sum((1, 2)))
        return torch.cat(scores).view(len(endings), *states.shape)

    def learn(self, _sampled: list[list[int]], log_rewards: Tensor) -> Tensor:
        """The loss of equation 3 by the variance of its estimates, and its gradients through one pass over all texts."""
        step = self.step
        texts = [step.prompt + latent[: states[-2]] for latent, states in zip(step.latents, step.states)]
        ids, mask = padded(texts)
        places = ids.shape[1] - len(step.prompt) + 1
        logits = self.model(input_ids=ids, attention_mask=mask, logits_to_keep=places).logits
        nexts = padded(step.latents)[0][:, :places]
        tokens = torch.stack([nexts, torch.full_like(nexts, step.stop)], 2)
        acting = torch.tensor([states[:-1] for states in step.states])  # the last state stops
        scores = log_probabilities(logits, tokens).gather(1, acting[:, :, None].expand(-1, -1, 2))
        log_prefix = torch.nn.functional.pad(scores[:, :, 0].cumsum(1), (1, 0))
        log_stop = torch.nn.functional.pad(scores[:, :, 1], (0, 1))
        estimates = log_rewards - log_stop - log_prefix
        prefixes = estimates.shape[1]
        squares = (estimates - estimates.mean(1, keepdim=True)).square().sum()
        loss = squares * prefixes / (step.samples * prefixes * (prefixes - 1) / 2)
        loss.backward()
        return loss


def log_probabilities(logits: Tensor, tokens: Tensor) -> Tensor:
    """log p of tokens [..., asked] under logits [..., vocabulary]."""
    logits = logits.float()
    return logits.gather(-1, tokens) - logits.logsumexp(-1, keepdim=True)
