"""Train the parser.

    python -m models.garment_parser.train CCP PEOPLE OUT [--pseudo FOLDER] [--init FILE] ...

With --teacher, it learns besides what that parser makes of the labelled photos' views, with
--selfie what that parser and the selfie model make of them together, see ``pool``. With
--parts and --skin, it learns from photos whose labels name no garments, see ``partial``.

Writes OUT/last.pt after every epoch and goes on from it when started again, also with another
number of epochs: the learning rate follows the share that is done. OUT/best.pt holds the averaged
weights at the end. Validation photos are only looked at, never trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from torch.nn import functional
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from models.garment_parser.data import (
    IGNORE,
    NOT_WORN,
    Example,
    Mix,
    Samples,
    cut_out_things,
    labelled,
    pseudo_labelled,
    weights,
)
from models.garment_parser.evaluate import mean_iou, partial_accuracy
from models.garment_parser.network import Parser, exported, starting
from models.garment_parser.partial import SETS, allowed, body_parts, skin_labels
from models.garment_parser.pool import PooledTeacher, kind_loss
from models.garment_parser.selfie import SelfieSegmenter
from tryon_masks.vision.compact.classes import CLASSES, Class

GROUPS = (
    (Class.TOP, Class.OUTERWEAR, Class.SCARF, Class.NECK, Class.TORSO_SKIN, Class.ARM),
    (Class.SKIRT, Class.TROUSERS, Class.LEGWEAR, Class.LEG, Class.BELT),
    (Class.DRESS,),
    (Class.HAT, Class.HAIR, Class.EYEWEAR, Class.FACE, Class.HAND, Class.SHOE, Class.BAG),
    (Class.BACKGROUND,),
)
"""What the masks tell apart: a slip inside a group costs less than one across."""
CLASS_LOSS_WEIGHTS = {
    Class.BACKGROUND: 0.6,
    Class.HAT: 1.5,
    Class.EYEWEAR: 1.5,
    Class.NECK: 1.5,
    Class.TORSO_SKIN: 3.0,
    Class.HAND: 1.5,
    Class.DRESS: 1.3,
    Class.SKIRT: 1.5,
    Class.BELT: 2.0,
    Class.LEGWEAR: 2.0,
    Class.SHOE: 1.3,
    Class.SCARF: 2.0,
}
"""What a pixel of a class counts in the cross-entropy; 1 where nothing is said."""
FIRST_PARTIAL_LABEL = min(SETS)
"""The least label that stands for a set of classes: nobody."""
MIN_TEACHER_PROBABILITY = 0.15
"""Probability that the teacher must give to the classes of a set to choose among them."""
WARM_UP_FRACTION = 0.06
"""Share of the training in which the rate rises."""
SAMPLING_WEIGHTS = {"ccp": 0.45, "parts": 0.4, "skin": 0.15, "pseudo": 0.25}
"""How often a view is of each set, relative to the others."""
CCP_MIX = Mix(0.5, 0.25, 0.3)
PARTS_MIX = Mix(0.75, 0.1)
SKIN_MIX = Mix(0.1, 0.55)


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description="Train the garment parser.")
    parser.add_argument("ccp", type=Path)
    parser.add_argument("people", type=Path, help="folder of garment_parser.people")
    parser.add_argument("out", type=Path)
    parser.add_argument("--pseudo", type=Path, help="folder of garment_parser.pseudo")
    parser.add_argument(
        "--init",
        type=Path,
        help="weights, or an exported ONNX file, to start from (default: ImageNet)",
    )
    parser.add_argument("--teacher", type=Path, help="the same, of a parser to learn from")
    parser.add_argument("--selfie", type=Path, help="the selfie model, which corrects the teacher")
    parser.add_argument(
        "--epochs",
        type=stages,
        default=[(288, 28), (384, 10)],
        metavar="HEIGHTxN,...",
        help="epochs at each height, a multiple of 96, of the input; its width is two thirds",
    )
    parser.add_argument(
        "--freeze",
        type=int,
        default=0,
        metavar="BLOCKS",
        help="leave the stem and so many blocks as they are: the dearest ones to train come first",
    )
    parser.add_argument("--fine", action="store_true", help="train the fine head alone")
    parser.add_argument("--samples", type=int, help="samples an epoch (default: all photos once)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak rate of the decoder")
    parser.add_argument(
        "--encoder", type=float, default=5.0, help="how much slower the encoder learns"
    )
    for name in ("parts", "skin"):
        parser.add_argument(
            f"--{name}",
            type=Path,
            nargs=2,
            metavar=("DATASET", "PEOPLE"),
            help="folder of the data set, and what garment_parser.partial wrote",
        )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--photos", type=int, help="use only the first so many (a trial run)")
    args = parser.parse_args()
    if args.selfie is not None and args.teacher is None:
        parser.error("--selfie corrects a teacher: give --teacher too")
    train(args)


def stages(text: str) -> list[tuple[int, int]]:
    """Pairs of height and number of epochs, from the likes of 288x28,384x10."""
    pairs = (stage.split("x") for stage in text.split(","))
    return [(int(height), int(number)) for height, number in pairs]


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Inputs, labels, of which views a teacher knows no better, and the outfits' factors (N, 20)."""

Teacher = Callable[[torch.Tensor], torch.Tensor]
"""From inputs (N, 13, H, W) to the class probabilities (N, 20, h, w) to learn."""


def train(args: argparse.Namespace) -> None:
    """Run the epochs that are still missing in ``args.out``."""
    torch.manual_seed(7)
    torch.set_num_threads(args.threads)
    # OpenCV's pool does not survive the fork into workers: the second stage would wait for ever.
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    data, held_back = TrainingData.from_args(args), ValidationData.from_args(args)
    heights = [height for height, epochs in args.epochs for _ in range(epochs)]
    trainer = Trainer(args, steps=len(heights) * (data.number // args.batch))
    height = 0
    for epoch in range(trainer.resume() + 1, len(heights) + 1):
        if height != heights[epoch - 1]:
            height = heights[epoch - 1]
            size = (height, height // 48 * 32)
            loader = data.loader(size)
        begun = time.perf_counter()
        loss = trainer.run_epoch(loader, epoch)
        seconds = time.perf_counter() - begun
        trainer.save(epoch)
        figures = {"epoch": epoch, "loss": round(loss, 4), "s": round(seconds)}
        if epoch % 4 == 0 or epoch == len(heights):
            figures |= held_back.figures(trainer.average, size)
        with (args.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(figures) + "\n")
        print(figures, flush=True)
    torch.save(trainer.average.state_dict(), args.out / "best.pt")


@dataclass(frozen=True)
class TrainingData:
    """The photos that are trained on: each set with how its views are changed."""

    sets: list[tuple[list[Example], Mix]]
    often: list[float]
    number: int
    batch: int
    workers: int

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> TrainingData:
        """Load the sets that the command line names."""
        ccp = labelled(args.ccp, args.people, validation=False)[: args.photos]
        sets = [(ccp, CCP_MIX)]
        often = [SAMPLING_WEIGHTS["ccp"] * _normed(weights(ccp))]
        for name, load, mix in (("parts", body_parts, PARTS_MIX), ("skin", skin_labels, SKIN_MIX)):
            if folders := getattr(args, name):
                examples = load(*folders, validation=False)[: args.photos]
                sets.append((examples, mix))
                often.append(SAMPLING_WEIGHTS[name] * _normed(outlined_twice(examples)))
        if args.pseudo:
            pseudo = pseudo_labelled(args.ccp, args.people, args.pseudo)
            sets.append((pseudo, CCP_MIX))
            often.append(SAMPLING_WEIGHTS["pseudo"] * _normed(weights(pseudo)))
        all_often = torch.cat(often).tolist()
        number = args.samples or len(all_often)
        return cls(sets, all_often, number, args.batch, args.workers)

    def loader(self, size: tuple[int, int]) -> DataLoader[Batch]:
        """Return random views of ``size`` (height, width), an epoch of them."""
        hosts = [
            example for examples, mix in self.sets if mix is not SKIN_MIX for example in examples
        ]
        things = [thing for host in hosts for thing in cut_out_things(host)]
        views = [Samples(examples, size, mix, hosts, things) for examples, mix in self.sets]
        return DataLoader(
            ConcatDataset(views),
            self.batch,
            sampler=WeightedRandomSampler(self.often, self.number),
            num_workers=self.workers,
            drop_last=True,
            persistent_workers=True,
        )


def outlined_twice(examples: list[Example]) -> torch.Tensor:
    """Return how often to show each photo: twice as often where somebody outlined a piece."""
    outlined = [
        (one.labels > Class.BACKGROUND) & (one.labels < FIRST_PARTIAL_LABEL) for one in examples
    ]
    shown = [1 + bool(pixels.any()) for pixels in outlined]
    return torch.tensor(shown, dtype=torch.double)


def _normed(weight: torch.Tensor) -> torch.Tensor:
    return weight / weight.sum()


@dataclass(frozen=True)
class ValidationData:
    """The validation photos, which are only looked at."""

    ccp: list[Example]
    parts: list[Example]

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> ValidationData:
        """Load the sets that the command line names."""
        ccp = labelled(args.ccp, args.people, validation=True)[: args.photos]
        parts = body_parts(*args.parts, validation=True)[: args.photos] if args.parts else []
        return cls(ccp, parts)

    def figures(self, model: Parser, size: tuple[int, int]) -> dict[str, float]:
        """Return how good a parser is at them."""
        found = {"miou": round(mean_iou(model, self.ccp, size), 4)}
        return found | (partial_accuracy(model, self.parts, size) if self.parts else {})


class Trainer:
    """The parser in training, its averaged weights and the optimiser."""

    def __init__(self, args: argparse.Namespace, steps: int) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._last, self._steps = args.out / "last.pt", steps
        self.model = self._load(args.init)
        self.average = deepcopy(self.model).eval()
        self._teacher = self._teacher_of(args)
        self._knows_kinds = args.selfie is not None
        model, frozen = self.model, []
        if args.fine:
            frozen = [part for part in model.children() if part is not model.fine]
        elif args.freeze:
            frozen = [model.stem, model.stem_norm, *model.blocks[: args.freeze]]
        for part in frozen:
            part.requires_grad_(False)
        self._still = [*frozen, *(model.norms() if exported(args.init) else [])]
        encoder = [*model.stem.parameters(), *model.stem_norm.parameters()]
        encoder += model.blocks.parameters()
        known = {id(p) for p in encoder}
        decoder = [p for p in model.parameters() if id(p) not in known]
        self._peaks = (args.rate / args.encoder, args.rate)
        groups = [{"params": encoder}, {"params": decoder}]
        self._optimizer = torch.optim.AdamW(groups, lr=args.rate, weight_decay=0.02)
        self._table = torch.from_numpy(allowed()).to(self._device)

    def _load(self, path: Path | None) -> Parser:
        # torch's own types know no memory format of a module.
        model: Any = starting(path)
        placed: Parser = model.to(self._device, memory_format=torch.channels_last)
        return placed

    def _teacher_of(self, args: argparse.Namespace) -> Teacher | None:
        if args.teacher is None:
            return None
        parser = self._load(args.teacher)
        if args.selfie is None:
            return lambda inputs: parser(inputs).softmax(1)
        return PooledTeacher(parser, SelfieSegmenter(args.selfie, args.threads))

    def resume(self) -> int:
        """Take up what was saved; return the number of epochs that are done."""
        if not self._last.exists():
            return 0
        saved = torch.load(self._last, map_location=self._device)
        done: int = saved.pop("epoch")
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
        return done

    def save(self, epoch: int) -> None:
        """Save all that the next epoch goes on from."""
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        unfinished = self._last.with_suffix(".part")
        torch.save({"epoch": epoch, **saved}, unfinished)
        unfinished.replace(self._last)

    def _parts(self) -> dict[str, Parser | torch.optim.Optimizer]:
        return {"model": self.model, "average": self.average, "optimizer": self._optimizer}

    def run_epoch(self, loader: DataLoader[Batch], epoch: int) -> float:
        """Learn from each batch once; return the mean loss."""
        self.model.train()
        for part in self._still:
            part.eval()
        total = 0.0
        for step, (inputs, labels, beyond, factors) in enumerate(loader):
            now = (epoch - 1) * len(loader) + step
            for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
                group["lr"] = peak * learning_rate_factor(now / self._steps)
            inputs = inputs.to(self._device, memory_format=torch.channels_last)
            tables = self._table * factors.to(self._device)[:, None]
            loss = self._loss(inputs, labels.to(self._device), beyond, tables)
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self._optimizer.step()
            update_ema(self.average, self.model, min(0.998, (1 + now) / (10 + now)))
            total += loss.item()
        return total / len(loader)

    def _loss(
        self, inputs: torch.Tensor, labels: torch.Tensor, beyond: torch.Tensor, tables: torch.Tensor
    ) -> torch.Tensor:
        logits = self.model(inputs)
        loss = partial_loss(logits, labels, tables)
        if (labels < FIRST_PARTIAL_LABEL).any():
            loss = loss + criterion(logits, labels)
        if self._teacher is None:
            return loss
        with torch.no_grad():
            targets = self._teacher(inputs)
        # Of dyed garments and its own slips the parser knows no better than the labels.
        named = ~is_partial(labels).flatten(1).any(1)
        own, other = named & ~beyond.to(self._device), named & beyond.to(self._device)
        if own.any():
            loss = loss + own.float().mean() * distillation_loss(logits[own], targets[own])
        if self._knows_kinds and other.any():
            loss = loss + 0.5 * other.float().mean() * kind_loss(logits[other], targets[other])
        return loss + 0.5 * partial_distillation_loss(logits, targets, labels, tables)


def learning_rate_factor(done: float) -> float:
    """Return the share of the peak rate when a share ``done`` of the training is over."""
    if done < WARM_UP_FRACTION:
        return max(0.04, done / WARM_UP_FRACTION)
    return (
        0.01
        + 0.99 * (1 + math.cos(math.pi * (done - WARM_UP_FRACTION) / (1 - WARM_UP_FRACTION))) / 2
    )


def is_partial(labels: torch.Tensor) -> torch.Tensor:
    """Return where ``labels`` stands for a set of classes."""
    return (labels >= FIRST_PARTIAL_LABEL) & (labels != IGNORE)


def _weights_of(labels: torch.Tensor, known: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """Return the weights (M, 20) of the classes at the M pixels that are ``known`` (N, h, w)."""
    view = known.nonzero()[:, 0]
    return tables[view, labels[known]]


def partial_loss(logits: torch.Tensor, labels: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """Return the mean negative log of the probability of the classes that a set label allows.

    ``logits`` (N, 20, h, w); ``labels`` (N, h, w); ``tables`` (N, 256, 20), see
    ``partial.allowed``, one a view.
    """
    known = is_partial(labels)
    if not known.any():
        return logits.sum() * 0
    probabilities = logits.permute(0, 2, 3, 1)[known].softmax(1)
    right = (probabilities * _weights_of(labels, known, tables)).sum(1)
    weight = torch.where(labels[known] == FIRST_PARTIAL_LABEL, 0.6, 1.0)
    return -(weight * (right + 1e-5).log()).sum() / weight.sum()


def partial_distillation_loss(
    logits: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor, tables: torch.Tensor
) -> torch.Tensor:
    """Return the mean divergence from the teacher's choice among the classes that a set allows.

    A pixel counts where the teacher gives these classes, without those that the outfit has not,
    more than :data:`MIN_TEACHER_PROBABILITY` together. So the names of garments stay those that
    full labels taught.
    """
    known = is_partial(labels)
    if not known.any():
        return logits.sum() * 0
    worn = _weights_of(labels, known, tables) > NOT_WORN
    goals = targets.permute(0, 2, 3, 1)[known] * worn
    together = goals.sum(1)
    sure = together > MIN_TEACHER_PROBABILITY
    log = logits.permute(0, 2, 3, 1)[known][sure].log_softmax(1)
    goals = goals[sure] / together[sure, None]
    return functional.kl_div(log, goals, reduction="sum") / max(1, len(goals))


def distillation_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean divergence of ``logits`` (N, 20, h, w) from the probabilities ``targets``."""
    off = functional.kl_div(logits.log_softmax(1), targets, reduction="none")
    return off.sum(1).mean()


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over classes and over groups, and soft Dice over the classes in the batch.

    ``logits`` (N, 20, h, w); ``labels`` (N, h, w), :data:`IGNORE` where nobody knows.
    """
    known = labels < len(CLASSES)
    labels = labels.where(known, torch.full_like(labels, IGNORE))
    target = labels.where(known, torch.zeros_like(labels))
    log = logits.contiguous().log_softmax(1)
    class_weights = torch.tensor(
        [CLASS_LOSS_WEIGHTS.get(cls, 1.0) for cls in CLASSES], device=labels.device
    )
    loss = functional.nll_loss(log, labels, class_weights, ignore_index=IGNORE)

    share = log.exp()
    member = torch.zeros(len(CLASSES), len(GROUPS), device=labels.device)
    for i, group in enumerate(GROUPS):
        member[list(group), i] = 1
    grouped = torch.einsum("nchw,cg->nghw", share, member).contiguous()
    coarse = member.argmax(1)[target].where(known, labels)
    loss = loss + 0.5 * functional.nll_loss((grouped + 1e-6).log(), coarse, ignore_index=IGNORE)

    flat = target[known]
    hit = share.gather(1, target[:, None])[:, 0][known]
    both = torch.zeros(len(CLASSES), device=labels.device).index_add(0, flat, hit)
    true = torch.bincount(flat, minlength=len(CLASSES))
    seen = (share * known[:, None]).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (true + seen + 1)
    return loss + 0.5 * dice[true > 0].mean()


@torch.no_grad()
def update_ema(average: torch.nn.Module, model: torch.nn.Module, keep: float) -> None:
    """Move the averaged weights a step towards the model's."""
    for a, b in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if a.dtype.is_floating_point:
            a.lerp_(b, 1 - keep)
        else:
            a.copy_(b)


if __name__ == "__main__":
    main()
