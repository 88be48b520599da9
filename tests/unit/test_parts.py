"""`make local` says at once what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_is_missing_is_said_and_nothing_is_begun(tmp_path: Path) -> None:
    environ = {**os.environ, "PATH": str(tmp_path), "DOCKER_HOST": "unix:///nowhere"}

    # As make calls it, before anything is set up.
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
            "from tests.stack.parts import main; sys.exit(main())",
        ],
        env=environ,
        capture_output=True,
        text=True,
    )

    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(said)) == (1, "", 2)
    assert all(line.startswith("make local cannot run: ") for line in said)
