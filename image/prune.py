"""Removes from a folder of installed packages what the functions never run: ``prune.py FOLDER``.

A third of their size: descriptions of AWS's other services, tests, stubs for type checkers, tools
around ONNX models, and ONNX Runtime once more, for programs in C.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

SERVICES = frozenset({"dynamodb", "s3", "secretsmanager", "sqs", "stepfunctions", "sts"})
"""What the functions call, and what gives them credentials."""
UNUSED = (
    "numpy/f2py",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
)
PATTERNS = ("**/*.pyi", "onnxruntime/capi/libonnxruntime.so.*")
TESTS = "numpy/**/tests"


def unused(packages: Path) -> Iterator[Path]:
    """Yield the files and folders to remove.

    Raises
    ------
    FileNotFoundError
        Something is not where it was: the lists must be looked through anew.
    """
    services = [one for one in (packages / "botocore" / "data").iterdir() if one.is_dir()]
    yield from (one for one in services if one.name not in SERVICES)
    for name in UNUSED:
        if not (packages / name).is_dir():
            raise FileNotFoundError(packages / name)
        yield packages / name
    for pattern in (*PATTERNS, TESTS):
        found = list(packages.glob(pattern))
        if not found:
            raise FileNotFoundError(packages / pattern)
        yield from found


def main(packages: Path) -> None:
    """Remove it all."""
    for path in list(unused(packages)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
