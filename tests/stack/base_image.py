"""A stand-in for the AWS Lambda Python base image, for engines that cannot reach AWS's registry.

It has the real one's name, layout, entry point and environment, so that the production Dockerfile
builds on it as it is. It is made of Debian, this machine's CPython, the Lambda runtime client and
the runtime emulator that the SAM CLI carries, and it trusts the certificates this machine trusts.
Only a private engine is given it: an image under AWS's name must never reach anybody's own
engine, let alone a registry.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.stack.engine import Engine, PartMissingError

BASE_IMAGE = "public.ecr.aws/lambda/python:3.13"
PYTHON = "3.13"
RUNTIME_PACKAGES = ("awslambdaric==4.2.2", "boto3==1.44.5")
DEBIAN_PACKAGES = (
    "ca-certificates",
    "libbz2-1.0",
    "libexpat1",
    "libffi8",
    "liblzma5",
    "libncursesw6",
    "libreadline8",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "tzdata",
    "zlib1g",
)
RECIPE_LABEL = "tryon-masks.recipe"
RECIPE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "PIP_CERT": CERTIFICATES,
    "SSL_CERT_FILE": CERTIFICATES,
    "REQUESTS_CA_BUNDLE": CERTIFICATES,
    "NODE_EXTRA_CA_CERTS": CERTIFICATES,
}

ENTRY_POINT = """\
#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then
  exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
else
  exec /var/runtime/bootstrap
fi
"""

BOOTSTRAP = f"""\
#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python{PYTHON}
export PYTHONPATH="/var/task:/opt/python:/var/runtime"
exec /var/lang/bin/python{PYTHON} -m awslambdaric "$_HANDLER"
"""


def ensure(engine: Engine, emulator: Path) -> None:
    """Give a private engine the stand-in; leave any other engine to pull the real image.

    Raises
    ------
    PartMissingError
    """
    if not engine.private:
        return
    label = f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
    found = engine.run("image", "inspect", "--format", label, BASE_IMAGE, check=False)
    if found.stdout.strip() == RECIPE:
        return
    with tempfile.TemporaryDirectory(prefix="tryon-masks-base-") as name:
        root = Path(name) / "root"
        _debian(root)
        _python(root)
        _runtime(root, emulator)
        _import(engine, root)


def check_parts() -> None:
    """Check that this machine has what the stand-in is made of.

    Raises
    ------
    PartMissingError
    """
    python_prefix()
    if shutil.which("mmdebstrap") is None:
        raise PartMissingError("mmdebstrap is not installed")


def python_prefix() -> Path:
    """Where this machine's CPython of the base image's version lives.

    Raises
    ------
    PartMissingError
    """
    found = [shutil.which(f"python{PYTHON}")]
    if shutil.which("pyenv"):
        listed = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True)
        versions = Path(listed.stdout.strip(), "versions")
        found += sorted(map(str, versions.glob(f"{PYTHON}.*/bin/python{PYTHON}")))
    for python in filter(None, found):
        asked = subprocess.run(
            [python, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True
        )
        prefix = Path(asked.stdout.strip())
        if asked.returncode == 0 and prefix != Path("/usr"):
            return prefix
    raise PartMissingError(f"no CPython {PYTHON} in a folder of its own (pyenv or /usr/local)")


def _debian(root: Path) -> None:
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    _call(
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        f"--include={','.join(DEBIAN_PACKAGES)}",
        suite,
        root,
    )
    trusted = os.environ.get("SSL_CERT_FILE") or CERTIFICATES
    shutil.copyfile(trusted, root / CERTIFICATES.lstrip("/"))


def _python(root: Path) -> None:
    prefix = python_prefix()
    lang = root / "var/lang"
    library = Path("lib", f"python{PYTHON}")
    shutil.copytree(
        prefix,
        lang,
        symlinks=True,
        ignore=lambda folder, names: {
            name
            for name in names
            if name in {"__pycache__", "test", "site-packages", "share", "include"}
            or name.startswith(("config-", "lib-tk"))
        },
    )
    packages = lang / library / "site-packages"
    packages.mkdir()
    for found in (prefix / library / "site-packages").glob("pip*"):
        shutil.copytree(found, packages / found.name)
    for script in (lang / "bin").glob("pip*"):
        script.write_text(
            f"#!/var/lang/bin/python{PYTHON}\n"
            "import sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
        )


def _runtime(root: Path, emulator: Path) -> None:
    runtime = root / "var/runtime"
    runtime.mkdir()
    (root / "var/task").mkdir()
    _call(
        python_prefix() / "bin" / f"python{PYTHON}",
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--target", runtime),
        *RUNTIME_PACKAGES,
    )
    shutil.copyfile(emulator, root / "usr/local/bin/aws-lambda-rie")
    (runtime / "bootstrap").write_text(BOOTSTRAP)
    (root / "lambda-entrypoint.sh").write_text(ENTRY_POINT)
    for script in (
        root / "usr/local/bin/aws-lambda-rie",
        runtime / "bootstrap",
        root / "lambda-entrypoint.sh",
    ):
        script.chmod(0o755)


def _import(engine: Engine, root: Path) -> None:
    changes = [f"ENV {name}={value}" for name, value in ENVIRONMENT.items()]
    changes += [
        f"LABEL {RECIPE_LABEL}={RECIPE}",
        "WORKDIR /var/task",
        'ENTRYPOINT ["/lambda-entrypoint.sh"]',
    ]
    archive = root.parent / "root.tar"
    _call("tar", "--create", "--file", archive, "--numeric-owner", "--directory", root, ".")
    engine.run("import", *(f"--change={change}" for change in changes), archive, BASE_IMAGE)


def _call(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")


if __name__ == "__main__":
    from tests.stack.engine import engine
    from tests.stack.sam import emulator

    with engine() as running:
        ensure(running, emulator())
        sys.stdout.write(running.run("images").stdout)
