"""Train the parser.

    python -m models.garment_parser.train CCP PEOPLE OUT [--pseudo FOLDER] [--init FILE] ...

With --teacher, it learns besides what that parser makes of a view and of its mirror image together.

Writes OUT/last.pt after every epoch and goes on from it when started again; OUT/best.pt holds the
averaged weights at the end. The photos whose id ends in 1 are only looked at, never trained on.
"""

from __future__ import annotations

import argparse
import json
import time
from copy import deepcopy
from pathlib import Path

import cv2
import torch
from models.garment_parser.data import IGNORE, Samples, labelled, pseudo_labelled, weights
from models.garment_parser.evaluate import mean_iou
from models.garment_parser.network import both_ways, exported, starting
from torch.nn import functional
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from tryon_masks.vision.compact.classes import CLASSES, Class

GROUPS = (
    (Class.TOP, Class.OUTERWEAR, Class.SCARF, Class.NECK, Class.TORSO_SKIN, Class.ARM),
    (Class.SKIRT, Class.TROUSERS, Class.LEGWEAR, Class.LEG, Class.BELT),
    (Class.DRESS,),
    (Class.HAT, Class.HAIR, Class.EYEWEAR, Class.FACE, Class.HAND, Class.SHOE, Class.BAG),
    (Class.BACKGROUND,),
)
"""What the masks tell apart: a slip inside a group costs less than one across."""
EMPHASIS = {
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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", type=int, help="use only the first so many (a trial run)")
    train(parser.parse_args())


def stages(text: str) -> list[tuple[int, int]]:
    """Pairs of height and number of epochs, from the likes of 288x28,384x10."""
    pairs = (stage.split("x") for stage in text.split(","))
    return [(int(height), int(number)) for height, number in pairs]


def train(args: argparse.Namespace) -> None:
    """Run the epochs that are still missing in ``args.out``."""
    torch.manual_seed(7)
    torch.set_num_threads(args.threads)
    # OpenCV's pool does not survive the fork into workers: the second stage would wait for ever.
    cv2.setNumThreads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.out.mkdir(parents=True, exist_ok=True)
    examples = [labelled(args.ccp, args.people, validation=False)[: args.photos]]
    shown = [weights(examples[0])]
    if args.pseudo:
        examples.append(pseudo_labelled(args.ccp, args.people, args.pseudo))
        shown.append(0.5 * weights(examples[1]))
    often = torch.cat(shown).tolist()
    number = args.samples or len(often)

    def load(size: tuple[int, int]) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
        return DataLoader(
            ConcatDataset([Samples(some, size) for some in examples]),
            args.batch,
            sampler=WeightedRandomSampler(often, number),
            num_workers=args.threads,
            drop_last=True,
            persistent_workers=True,
        )

    held_back = labelled(args.ccp, args.people, validation=True)[: args.photos]

    model = starting(args.init).to(device, memory_format=torch.channels_last)
    teacher = args.teacher and starting(args.teacher).to(device, memory_format=torch.channels_last)
    average = deepcopy(model).eval()
    frozen = [model.stem, model.stem_norm, *model.blocks[: args.freeze]] if args.freeze else []
    if args.fine:
        frozen = [part for part in model.children() if part is not model.fine]
    for part in frozen:
        part.requires_grad_(False)
    still = [*frozen, *(model.norms() if exported(args.init) else [])]
    encoder = [*model.stem.parameters(), *model.stem_norm.parameters(), *model.blocks.parameters()]
    known = {id(p) for p in encoder}
    decoder = [p for p in model.parameters() if id(p) not in known]
    heights = [height for height, epochs in args.epochs for _ in range(epochs)]
    steps = len(heights) * (number // args.batch)
    rates = [args.rate / 5, args.rate]
    optimizer = torch.optim.AdamW(
        [{"params": encoder}, {"params": decoder}], lr=args.rate, weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps + 1, pct_start=0.1, final_div_factor=100
    )
    state = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    last, done = args.out / "last.pt", 0
    if last.exists():
        saved = torch.load(last, map_location=device)
        done = saved.pop("epoch")
        for name, value in saved.items():
            state[name].load_state_dict(value)

    size = (0, 0)
    for epoch in range(done + 1, len(heights) + 1):
        if size[0] != heights[epoch - 1]:
            size = (heights[epoch - 1], heights[epoch - 1] // 48 * 32)
            loader = load(size)
        begun, total = time.perf_counter(), 0.0
        model.train()
        for part in still:
            part.eval()
        for step, (inputs, labels) in enumerate(loader):
            inputs = inputs.to(device, memory_format=torch.channels_last)
            logits = model(inputs)
            loss = criterion(logits, labels.to(device))
            if teacher:
                loss = loss + imitation(logits, both_ways(teacher, inputs))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            now = (epoch - 1) * len(loader) + step
            follow(average, model, min(0.998, (1 + now) / (10 + now)))
            total += loss.item()
        seconds = time.perf_counter() - begun
        saved = {name: thing.state_dict() for name, thing in state.items()}
        torch.save({"epoch": epoch, **saved}, args.out / "last.part")
        (args.out / "last.part").replace(last)
        figures = {"epoch": epoch, "loss": round(total / len(loader), 4), "s": round(seconds)}
        if epoch % 4 == 0 or epoch == len(heights):
            figures["miou"] = round(mean_iou(average, held_back, size), 4)
        with (args.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(figures) + "\n")
        print(figures, flush=True)
    torch.save(average.state_dict(), args.out / "best.pt")


def imitation(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Divergence of ``logits`` (N, 20, h, w) from the probabilities ``shares``, mean over cells."""
    off = functional.kl_div(logits.log_softmax(1), shares, reduction="none")
    return off.sum(1).mean()


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over classes and over groups, and soft Dice over the classes in the batch.

    ``logits`` (N, 20, h, w); ``labels`` (N, h, w), :data:`IGNORE` where nobody knows.
    """
    known = labels != IGNORE
    target = labels.where(known, torch.zeros_like(labels))
    log = logits.contiguous().log_softmax(1)
    emphasis = torch.tensor([EMPHASIS.get(cls, 1.0) for cls in CLASSES], device=labels.device)
    loss = functional.nll_loss(log, labels, emphasis, ignore_index=IGNORE)

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
def follow(average: torch.nn.Module, model: torch.nn.Module, keep: float) -> None:
    """Move the averaged weights a step towards the model's."""
    for a, b in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if a.dtype.is_floating_point:
            a.lerp_(b, 1 - keep)
        else:
            a.copy_(b)


if __name__ == "__main__":
    main()
