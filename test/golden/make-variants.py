"""Makes the checkpoints here whose names end in a variant, with PyTorch 2.9, transformers 5 and peft: what is said of a
config's less usual settings is checked against software that this project did not write. Usage: make-variants.py OUT

Each gets `checkpoints/<name>`, a LoRA adapter with the gradient of equation 3 in `adapters/<name>`, and `models-<name>.json`
with tokens, logits, log q, losses and likelihoods of an ending, in the form of the other golden values.
"""
import json, sys
import numpy as np, torch
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, GPT2Config, GPTJConfig, GPTNeoXConfig, LlamaConfig, MistralConfig,
                          Qwen2Config, Qwen3Config)
from peft import LoraConfig, get_peft_model

OUT, EOS, V, W = sys.argv[1], 2, 37, 16
GPT = dict(vocab_size=V, n_positions=48, n_embd=W, n_layer=2, n_head=2, n_inner=24, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
BLOCK = dict(vocab_size=V, hidden_size=W, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
IDS = dict(bos_token_id=1, eos_token_id=EOS)
VARIANTS = {
    # untied head, unusual scales of attention, exact GELU
    "gpt2_scaled": (GPT2Config(**GPT, **IDS, tie_word_embeddings=False, scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True,
                               reorder_and_upcast_attn=True, activation_function="gelu"), "all-linear"),
    # tied head that keeps its bias
    "gptj_tied": (GPTJConfig(**GPT, **IDS, rotary_dim=2, tie_word_embeddings=True), "all-linear"),
    # attention before feed-forward, no attention biases, tied head, linear scaling
    "gpt_neox_sequential": (GPTNeoXConfig(**BLOCK, **IDS, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_fast",
                                          attention_dropout=0, hidden_dropout=0, tie_word_embeddings=True,
                                          rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0, "partial_rotary_factor": 1.0}),
                            "all-linear"),
    # all biases, one head of keys and values, heads of their own width, another activation
    "llama_biased": (LlamaConfig(**BLOCK, **IDS, num_key_value_heads=1, head_dim=6, attention_bias=True, mlp_bias=True, hidden_act="gelu_pytorch_tanh",
                                 tie_word_embeddings=True), "all-linear"),
    # attention slides, but over more than the text
    "mistral_window": (MistralConfig(**BLOCK, **IDS, num_key_value_heads=2, sliding_window=24, tie_word_embeddings=True), ["q_proj", "v_proj"]),
    # untied head, yarn scaling, the upper layer slides
    "qwen2_yarn": (Qwen2Config(**BLOCK, **IDS, num_key_value_heads=4, use_sliding_window=True, sliding_window=24, max_window_layers=1,
                               rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 16}),
                   ["k_proj", "o_proj"]),
    # untied head, biases, dynamic scaling, targets by the ends of names and by a whole name
    "qwen3_dynamic": (Qwen3Config(**BLOCK, **IDS, num_key_value_heads=2, head_dim=8, attention_bias=True,
                                  rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}),
                      ["self_attn.q_proj", "k_proj", "model.layers.1.mlp.down_proj"]),
}
rng = np.random.default_rng(7)


def numbers(x):
    return [float(f"{v:.7g}") for v in np.asarray(x.detach() if isinstance(x, torch.Tensor) else x, dtype=np.float32).reshape(-1)]


for name, (config, targets) in VARIANTS.items():
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn_like(p) * (0.6 if "embed" in key or "wte" in key or "wpe" in key else 1.6 / p.shape[-1] ** 0.5))
            else:
                p.copy_(torch.randn_like(p) * 0.5 + (1.0 if ("norm" in key or "ln_" in key) and key.endswith("weight") else 0.0))
        if config.tie_word_embeddings:
            model.tie_weights()
    model.save_pretrained(f"{OUT}/checkpoints/{name}")
    tokens = torch.tensor(rng.integers(3, V, size=(1, 23)))
    case = {"tokens": tokens[0].tolist(), "logits": numbers(model(tokens).logits[0])}

    peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=6, target_modules=targets, task_type="CAUSAL_LM")).eval()
    with torch.no_grad():
        for key, p in peft.named_parameters():
            if "lora_" in key:
                p.copy_(torch.randn_like(p) * (0.3 if "lora_B" in key else 1 / p.shape[-1] ** 0.5))
    peft.save_pretrained(f"{OUT}/adapters/{name}")
    prompt = tokens[0, :7].tolist()
    samples = [[int(t) for t in rng.integers(3, V, size=n)] for n in (5, 1, 3, 0)]
    rewards = [numbers(rng.normal(-20, 4, size=len(z) + 1)) for z in samples]
    total, parts = 0.0, []
    for z, reward in zip(samples, rewards):
        lp = peft(torch.tensor([prompt + z])).logits[0, len(prompt) - 1:].log_softmax(-1)
        log_pf = lp[torch.arange(len(z)), torch.tensor(z, dtype=torch.long)]
        u = torch.tensor(reward) - lp[:, EOS] - torch.cat([torch.zeros(1), log_pf.cumsum(0)])
        loss = sum(((u[i] - u[j]) ** 2 for i in range(len(z)) for j in range(i + 1, len(z) + 1)), torch.tensor(0.0))
        parts.append({"log_pf": numbers(log_pf), "log_pterm": numbers(lp[:, EOS])})
        total = total + loss
    total.backward()
    save_file({k.replace(".default", ""): p.grad.contiguous() for k, p in peft.named_parameters() if "lora_" in k},
              f"{OUT}/adapters/{name}/gradients.safetensors")
    case["adapter"] = {"logits": numbers(peft(tokens).logits[0]), "prompt": prompt, "samples": samples, "terminal_token": EOS,
                       "log_rewards_of_prefixes": rewards, "per_sample": parts, "subtb_sum_over_samples": float(total)}
    ending, rows = [int(t) for t in rng.integers(3, V, size=4)], []
    with torch.no_grad(), peft.disable_adapter():
        for i in range(len(samples[0]) + 1):
            context = prompt + samples[0][:i]
            lp = peft(torch.tensor([context + ending])).logits[0].log_softmax(-1)
            answers = [*ending, EOS]
            rows.append(sum(lp[len(context) - 1 + k, y].item() for k, y in enumerate(answers)))
    case["ending"] = {"ending": ending, "log_p_ending_and_eos_after_each_prefix": numbers(np.array(rows))}
    with open(f"{OUT}/models-{name}.json", "w") as file:
        json.dump(case, file)
    print(name, "largest logit", max(map(abs, case["logits"])), "loss", float(total))
