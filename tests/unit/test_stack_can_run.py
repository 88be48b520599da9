"""`make stack` and `make local` say at once what they lack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("target", "lacking"), [("stack", 1), ("local", 2)])
def test_what_is_missing_is_said_and_nothing_is_begun(
    target: str, lacking: int, tmp_path: Path
) -> None:
    environ = {**os.environ, "PATH": str(tmp_path), "DOCKER_HOST": "unix:///nowhere"}

    # As make calls it, before anything is set up.
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
            f"from tests.stack.can_run import main; sys.exit(main({target!r}))",
        ],
        env=environ,
        capture_output=True,
        text=True,
    )

    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(said)) == (1, "", lacking)
    assert all(line.startswith(f"make {target} cannot run: ") for line in said)
