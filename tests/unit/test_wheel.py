"""The wheel is the whole library: it builds its models on a machine without the source."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDER = (ROOT / "models" / "build.py").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the source, with what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    # Of a copy: setuptools leaves files behind, and takes what it finds of them the next time.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "cards")
    for name in ("function", "models"):
        shutil.copytree(ROOT / name, source / name, ignore=left_out)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    built = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("tryon_masks-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def python(installed: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_is_in_it(installed: Path) -> None:
    package = ROOT / "function" / "tryon_masks"
    modules = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    packed = installed / "tryon_masks"
    assert modules <= {str(path.relative_to(packed)) for path in packed.rglob("*.py")}
    assert (packed / "py.typed").is_file()
    page = packed / "entrypoints" / "local" / "page"
    assert {path.name for path in page.iterdir()} == {
        "index.html",
        "app.js",
        "many.js",
        "style.css",
    }
    sheet = packed / "sheet" / "assets"
    assert {path.name for path in sheet.iterdir()} == {
        "base.css",
        "report.html",
        "sheet.css",
        "sheet.js",
    }


def test_the_builder_finds_all_that_it_reads(installed: Path) -> None:
    models = installed / "tryon_masks" / "models"
    read = set(re.findall(r'HERE / "([\w.-]+\.(?:toml|txt|py))"', BUILDER))
    assert len(read) >= 4
    assert read <= {path.name for path in models.iterdir()}
    committed = re.findall(
        r'^path = "([^"]+_int8\.onnx)"$', (models / "catalog.toml").read_text(), re.M
    )
    assert committed
    assert all((models / name).is_file() for name in committed)
    assert python(installed, str(models / "build.py"), "--help").returncode == 0


def test_it_knows_that_it_is_no_source_checkout(installed: Path, tmp_path: Path) -> None:
    code = """
        import json, os
        from tryon_masks import telemetry, wiring
        from tryon_masks.adapters import model_builder
        from tryon_masks.settings import Settings
        read = lambda **environ: str(wiring.models_dir(Settings.from_env(environ, on_lambda=False)))
        print(json.dumps([str(model_builder.__file__), read(), read(MODELS_DIR="chosen")]))
    """
    ran = python(
        installed, "-c", re.sub(r"^ +", "", code, flags=re.M), XDG_CACHE_HOME=str(tmp_path)
    )
    assert ran.returncode == 0, ran.stderr
    module, folder, chosen = json.loads(ran.stdout)
    assert module.startswith(str(installed))
    assert folder == str(tmp_path / "tryon-masks" / "models")
    assert chosen == "chosen"
