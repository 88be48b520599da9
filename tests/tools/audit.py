"""Looks the runtime's locked packages up in the database of known vulnerabilities: ``make audit``.

Exit code 1: a package has one, 0: none has. Where the database cannot be reached, that is said, and
the exit code is 0, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements.txt"
COMMAND = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]


def verdict(report: str) -> tuple[int, str]:
    """The exit code, and what to say, for pip-audit's JSON; any other text is no report."""
    try:
        packages = json.loads(report)["dependencies"]
    except ValueError:
        return 0, "SKIPPED: nothing was audited, the vulnerability data cannot be reached."
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    if len(unknown) == len(packages):
        return 0, "SKIPPED: nothing was audited, the vulnerability data cannot be reached."
    told = [f"audited {len(packages) - len(unknown)} of {len(packages)} packages", *found]
    if unknown:
        told.append(f"not audited: {', '.join(unknown)}")
    return int(bool(found)), "\n".join(told)


def main() -> int:
    """Audit, and say what came of it."""
    # Where it is not installed, this is an error and no skip.
    print(f"pip-audit {version('pip-audit')}")
    command = [sys.executable, "-m", "pip_audit", *COMMAND, "--requirement", str(LOCK)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    code, text = verdict(ran.stdout)
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
