"""Write the trained parser as ONNX.

    python -m models.garment_parser.export WEIGHTS OUT.onnx [TEMPERATURE]

The file is checked against the weights before it is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from models.garment_parser.network import Parser
from tryon_masks.vision.compact.input import CHANNELS, HEIGHT, WIDTH

OPSET = 17
TEMPERATURE = 1.2
"""Divides the logits, which training leaves too sure of themselves: at this one the validation's
labels are likeliest, as ``evaluate`` prints."""
TOLERANCE = 1e-3
"""Largest difference of a logit."""


def main() -> None:
    """Export from the command line."""
    weights, out = (Path(argument) for argument in sys.argv[1:3])
    temperature = float(sys.argv[3]) if len(sys.argv) > 3 else TEMPERATURE
    model = Parser(pretrained=False).eval()
    model.load_state_dict(torch.load(weights, map_location="cpu"))
    model.temper(temperature)
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
