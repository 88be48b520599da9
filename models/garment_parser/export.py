"""Write the trained parser as ONNX.

    python -m models.garment_parser.export WEIGHTS OUT.onnx [--average FILE] [--temperature T]

With --average, the weights are the mean of these and of those that the training began with: better
than either on photos of other kinds than were learnt last (Wortsman et al., Robust fine-tuning of
zero-shot models, 2022). The file is checked against the weights before it is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from models.garment_parser.network import starting
from models.garment_parser.train import update_ema
from tryon_masks.vision.compact.input import CHANNELS, HEIGHT, WIDTH

OPSET = 17
TEMPERATURE = 1.1
"""Divides the logits, which training leaves too sure of themselves: at this one the validation's
labels are likeliest, as ``evaluate`` prints."""
TOLERANCE = 1e-3
"""Largest difference of a logit."""


def main() -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(description="Write the trained parser as ONNX.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--average", type=Path, help="what the training began with")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    args = parser.parse_args()
    out: Path = args.out
    model = starting(args.weights)
    if args.average is not None:
        update_ema(model, starting(args.average), keep=0.5)
    model.temper(args.temperature)
    inputs = torch.rand(1, CHANNELS, HEIGHT, WIDTH) * 2 - 1
    unchecked = out.with_suffix(".unchecked")
    torch.onnx.export(
        model,
        (inputs,),
        str(unchecked),
        input_names=["input"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamo=False,
    )
    onnx.checker.check_model(str(unchecked), full_check=True)
    session = onnxruntime.InferenceSession(unchecked, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"input": inputs.numpy()})
    with torch.no_grad():
        off = float(np.abs(found - model(inputs).numpy()).max())
    if off > TOLERANCE:
        raise SystemExit(f"the ONNX file is off by {off:.2e}")
    unchecked.replace(out)
    print(f"{out.name}: {out.stat().st_size} bytes, off by {off:.1e}")


if __name__ == "__main__":
    main()
