"""Makes metrics.json: BLEU and GLEU by NLTK, calibration by scikit-learn.

    pip install nltk==3.10.4 scikit-learn==1.9.1 && python make-metrics.py > metrics.json
"""
import json
import random

import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.gleu_score import sentence_gleu
from sklearn.calibration import calibration_curve

random.seed(7)
WORDS = "the a dog cat sat ran on to mat park and then happily quickly home".split()


def sentence(length):
    return [random.choice(WORDS) for _ in range(length)]


def disturbed(words):
    """The words with some of them replaced, dropped or doubled."""
    result = []
    for word in words:
        draw = random.random()
        if draw < 0.15:
            result.append(random.choice(WORDS))
        elif draw < 0.25:
            continue
        elif draw < 0.3:
            result += [word, word]
        else:
            result.append(word)
    return result


pairs = [
    ([], [["the", "dog"]]),
    (["dog"], [["dog"]]),
    (["cat"], [["dog", "ran"]]),
    (["the", "the", "the"], [["the", "cat"]]),
    ("the dog ran home".split(), ["the dog ran home".split()]),
    ("the dog ran".split(), ["the dog ran home and then sat".split()]),
    ("a cat sat on the mat and then ran".split(), ["a cat sat".split(), "on the mat and then ran home quickly".split()]),
]
for _ in range(40):
    reference = sentence(random.randint(3, 14))
    references = [reference] + [sentence(random.randint(3, 14)) for _ in range(random.randint(0, 2))]
    pairs.append((disturbed(reference), references))

overlap = [
    {
        "candidate": candidate,
        "references": references,
        "bleu": float(sentence_bleu(references, candidate, smoothing_function=SmoothingFunction().method1)),
        "gleu": float(sentence_gleu(references, candidate)),
    }
    for candidate, references in pairs
]

generator = np.random.default_rng(3)
calibration = []
for count, bins in [(200, 10), (57, 5), (12, 10)]:
    confidence = generator.random(count).round(3)
    confidence[:3] = [0.0, 1.0, 0.2]
    correct = generator.random(count) < confidence**1.5
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=bins)
    filled = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence), minlength=bins)
    weights = filled[filled > 0] / count
    calibration.append(
        {
            "bins": bins,
            "confidence": confidence.tolist(),
            "correct": correct.tolist(),
            "counts": filled.tolist(),
            "bin_confidence": mean_confidence.tolist(),
            "bin_accuracy": accuracy.tolist(),
            "expected_calibration_error": float(np.sum(weights * np.abs(accuracy - mean_confidence))),
        }
    )

print(json.dumps({"overlap": overlap, "calibration": calibration}, separators=(",", ":")))
