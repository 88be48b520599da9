"""Train the parser.

    python -m models.garment_parser.train CCP PEOPLE OUT [--pseudo FOLDER] [--init FILE] ...

With --teacher, it learns besides what that parser makes of the labelled photos' views. With
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
from copy import deepcopy
from pathlib import Path

import cv2
import torch
from models.garment_parser.data import IGNORE, Mix, Samples, labelled, pseudo_labelled, weights
from models.garment_parser.evaluate import mean_iou, partial_accuracy
from models.garment_parser.network import exported, starting
from models.garment_parser.partial import SETS, allowed, body_parts, skins
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
FIRST_SET = min(SETS)
"""The least label that stands for a set of classes: nobody."""
WARM_UP = 0.06
"""Share of the training in which the rate rises."""
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
    ccp = labelled(args.ccp, args.people, validation=False)[: args.photos]
    parts = body_parts(*args.parts, validation=False)[: args.photos] if args.parts else []
    sets = [(ccp, CCP_MIX, weights(ccp), 0.55), (parts, PARTS_MIX, torch.ones(len(parts)), 0.3)]
    if args.skin:
        skin = skins(*args.skin, validation=False)[: args.photos]
        sets.append((skin, SKIN_MIX, torch.ones(len(skin)), 0.15))
    if args.pseudo:
        pseudo = pseudo_labelled(args.ccp, args.people, args.pseudo)
        sets.append((pseudo, CCP_MIX, weights(pseudo), 0.3))
    sets = [one for one in sets if one[0]]
    often = torch.cat([share * shown / shown.sum() for _, _, shown, share in sets]).tolist()
    number = args.samples or len(often)

    def load(size: tuple[int, int]) -> DataLoader[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        return DataLoader(
            ConcatDataset([Samples(some, size, mix, ccp + parts) for some, mix, *_ in sets]),
            args.batch,
            sampler=WeightedRandomSampler(often, number),
            num_workers=args.workers,
            drop_last=True,
            persistent_workers=True,
        )

    held_back = labelled(args.ccp, args.people, validation=True)[: args.photos]
    held_parts = body_parts(*args.parts, validation=True)[: args.photos] if args.parts else []

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
    optimizer = torch.optim.AdamW(
        [{"params": encoder}, {"params": decoder}], lr=args.rate, weight_decay=0.02
    )
    peaks = [args.rate / args.encoder, args.rate]
    state = {"model": model, "average": average, "optimizer": optimizer}
    last, done = args.out / "last.pt", 0
    if last.exists():
        saved = torch.load(last, map_location=device)
        done = saved.pop("epoch")
        for name, value in saved.items():
            state[name].load_state_dict(value)
    table = torch.from_numpy(allowed()).to(device)

    size = (0, 0)
    for epoch in range(done + 1, len(heights) + 1):
        if size[0] != heights[epoch - 1]:
            size = (heights[epoch - 1], heights[epoch - 1] // 48 * 32)
            loader = load(size)
        begun, total = time.perf_counter(), 0.0
        model.train()
        for part in still:
            part.eval()
        for step, (inputs, labels, dyed) in enumerate(loader):
            now = (epoch - 1) * len(loader) + step
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate_at(now / steps)
            inputs = inputs.to(device, memory_format=torch.channels_last)
            labels = labels.to(device)
            logits = model(inputs)
            loss = criterion(logits, labels) + partial_loss(logits, labels, table)
            if teacher:
                # Of dyed garments the teacher knows no better than the labels.
                own = ~dyed & (labels < FIRST_SET).flatten(1).any(1).cpu()
                if own.any():
                    with torch.no_grad():
                        targets = teacher(inputs[own]).softmax(1)
                    loss = loss + own.float().mean() * imitation(logits[own], targets)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            follow(average, model, min(0.998, (1 + now) / (10 + now)))
            total += loss.item()
        seconds = time.perf_counter() - begun
        saved = {name: thing.state_dict() for name, thing in state.items()}
        torch.save({"epoch": epoch, **saved}, args.out / "last.part")
        (args.out / "last.part").replace(last)
        figures = {"epoch": epoch, "loss": round(total / len(loader), 4), "s": round(seconds)}
        if epoch % 4 == 0 or epoch == len(heights):
            figures["miou"] = round(mean_iou(average, held_back, size), 4)
            if held_parts:
                figures |= partial_accuracy(average, held_parts, size)
        with (args.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(figures) + "\n")
        print(figures, flush=True)
    torch.save(average.state_dict(), args.out / "best.pt")


def rate_at(done: float) -> float:
    """Return the share of the peak rate when a share ``done`` of the training is over."""
    if done < WARM_UP:
        return max(0.04, done / WARM_UP)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


def partial_loss(logits: torch.Tensor, labels: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return the mean negative log of the probability of the classes that a set label allows.

    ``logits`` (N, 20, h, w); ``labels`` (N, h, w); ``table`` (256, 20), see ``partial.allowed``.
    """
    known = (labels >= FIRST_SET) & (labels != IGNORE)
    if not known.any():
        return logits.sum() * 0
    probabilities = logits.permute(0, 2, 3, 1)[known].softmax(1)
    right = (probabilities * table[labels[known]]).sum(1)
    weight = torch.where(labels[known] == FIRST_SET, 0.6, 1.0)
    return -(weight * (right + 1e-5).log()).sum() / weight.sum()


def imitation(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Divergence of ``logits`` (N, 20, h, w) from the probabilities ``shares``, mean over cells."""
    off = functional.kl_div(logits.log_softmax(1), shares, reduction="none")
    return off.sum(1).mean()


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over classes and over groups, and soft Dice over the classes in the batch.

    ``logits`` (N, 20, h, w); ``labels`` (N, h, w), :data:`IGNORE` where nobody knows.
    """
    known = labels < len(CLASSES)
    labels = labels.where(known, torch.full_like(labels, IGNORE))
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
