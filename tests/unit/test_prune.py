"""What the image leaves out of the packages that it is made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image.prune import main, unused

INSTALLED = Path(np.__file__).parents[1]
ROOT = Path(__file__).parents[2]
USED = """
import sys
import tryon_masks.entrypoints.http.routes, tryon_masks.entrypoints.queue.messages
import tryon_masks.adapters.cloudinary, tryon_masks.adapters.firestore, tryon_masks.adapters.http
import tryon_masks.adapters.idempotency, tryon_masks.adapters.powertools, tryon_masks.adapters.s3
import tryon_masks.vision.compact.vision, tryon_masks.vision.dwpose_schp.vision
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


def tree(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


WHOLE = (
    "botocore/data/endpoints.json",
    "botocore/data/s3/2006-03-01/service-2.json.gz",
    "botocore/data/ec2/2016-11-15/service-2.json.gz",
    "numpy/__init__.py",
    "numpy/__init__.pyi",
    "numpy/f2py/f2py2e.py",
    "numpy/linalg/tests/test_linalg.py",
    "onnxruntime/__init__.py",
    "onnxruntime/backend/backend.py",
    "onnxruntime/capi/libonnxruntime.so.1",
    "onnxruntime/capi/onnxruntime_pybind11_state.so",
    "onnxruntime/datasets/__init__.py",
    "onnxruntime/quantization/quantize.py",
    "onnxruntime/tools/symbolic_shape_infer.py",
    "onnxruntime/transformers/optimizer.py",
)
LEFT = [
    "botocore/data/endpoints.json",
    "botocore/data/s3/2006-03-01/service-2.json.gz",
    "numpy/__init__.py",
    "onnxruntime/__init__.py",
    "onnxruntime/capi/onnxruntime_pybind11_state.so",
]


def test_only_what_never_runs_is_removed(tmp_path: Path) -> None:
    main(tree(tmp_path, *WHOLE))
    assert (
        sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*") if p.is_file()) == LEFT
    )


def test_a_package_that_is_built_otherwise_is_told(tmp_path: Path) -> None:
    tree(tmp_path, *(name for name in WHOLE if "quantization" not in name))
    with pytest.raises(FileNotFoundError, match="onnxruntime/quantization"):
        main(tmp_path)


def test_nothing_that_the_functions_import_is_removed() -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "function")}
    ran = subprocess.run(
        [sys.executable, "-c", USED], env=environ, capture_output=True, text=True, check=True
    )
    imported = {Path(line) for line in ran.stdout.splitlines() if line}
    assert any(INSTALLED / "botocore" in path.parents for path in imported)
    for path in unused(INSTALLED):
        assert not any(one == path or path in one.parents for one in imported)
