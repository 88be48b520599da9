"""What teaches the parser: an earlier parser and the selfie model, their opinions pooled.

The parser knows whose arm is whose and the names of garments; the selfie model knows skin, hair and
cloth, and their borders, on more kinds of photos than anybody here labelled. In a logarithmic
opinion pool (Genest and Zidek, 1986) a class has the parser's probability times a power of the
probability that the selfie model gives to its kind.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.garment_parser import selfie
from models.garment_parser.network import Parser
from models.garment_parser.selfie import SelfieSegmenter
from models.garment_parser.teachers import on_photo
from tryon_masks.domain.person import Box

KIND_OF = torch.from_numpy(selfie.KIND_OF)
SELFIE_CLASSES = ((0,), (1,), (2, 3), (4, 5))
"""The selfie model's classes of each kind: what it calls other is worn or carried, too."""
POWER = 0.5
"""How much the selfie model has to say: of 0, 0.3, 0.5 and 0.7, no other was better on all of the
validation sets (mean IoU 0.623, 0.631, 0.634, 0.635; lower legs 0.785, 0.786, 0.783, 0.778)."""
DOUBT = 0.02
"""Added to the selfie model's probabilities, so that it never rules anything out."""
LEAST_SIDE = 16
"""Pixels of an outline's shorter side from which the selfie model is asked."""
FAINT = 1e-5
"""Least probability in a logarithm."""


class PooledTeacher:
    """The class probabilities that a view is taught with."""

    def __init__(self, parser: Parser, selfie: SelfieSegmenter) -> None:
        self._parser, self._selfie = parser, selfie

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return probabilities (N, 20, h, w) for the parser's inputs (N, 13, H, W)."""
        parsed = self._parser(inputs).softmax(1)
        views = ((inputs.cpu() + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        kinds = torch.from_numpy(np.stack([self._kinds(view) for view in views]))
        seen = functional.interpolate(kinds, parsed.shape[2:], mode="bilinear").to(parsed.device)
        pooled = parsed * (seen + DOUBT).pow(POWER)[:, KIND_OF]
        result: torch.Tensor = pooled / pooled.sum(1, keepdim=True)
        return result

    def _kinds(self, view: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of the kinds, (4, H, W), for a view (H, W, 13), 0 to 255."""
        x, y, width, height = cv2.boundingRect((view[..., -1] > 127).astype(np.uint8))
        if min(width, height) < LEAST_SIDE:
            return np.ones((4, *view.shape[:2]), np.float32)
        rgb = np.ascontiguousarray(view[..., :3])
        answer = on_photo(self._selfie, rgb, Box(x, y, x + width, y + height))
        return np.stack([answer[..., some].sum(-1) for some in SELFIE_CLASSES])


def kind_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean divergence of the kinds in ``logits`` (N, 20, h, w) from ``targets``."""
    member = functional.one_hot(KIND_OF).float().to(logits.device)
    own, goal = (
        torch.einsum("nchw,ck->nkhw", one, member) + FAINT for one in (logits.softmax(1), targets)
    )
    return (goal * (goal.log() - own.log())).sum(1).mean()
