"""The house rules: imports go one way, linked folders stay links, the wheel is whole, the public API is small."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamst

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "streamst"
LINKED = ("codecs", "policies", "server", "web")

# What stands in a row of the page's table may import what stands in the same row or above it.
TABLE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("| layer |", 1)[1]
LAYERS = tuple(names for line in TABLE.splitlines() if (names := tuple(re.findall(r"`([\w.]+)`", line))))


def modules() -> dict[str, Path]:
    """Every Python module of the package by its dotted name."""
    found = {}
    for folder in (PACKAGE, *(PACKAGE / name for name in LINKED)):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def layer(module: str) -> int | None:
    """The row of the longest name in LAYERS that `module` is or lies below."""
    best, row = "", None
    for number, names in enumerate(LAYERS):
        for name in names:
            inside = module == name or (module.startswith(f"{name}.") and name != "streamst")
            if inside and len(name) > len(best):
                best, row = name, number
    return row


def imports(module: str, path: Path) -> Iterator[str]:
    """Modules of ours that `module` imports when it runs, those inside functions included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "streamst")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            if base.partition(".")[0] == "streamst":
                whole = {f"{base}.{alias.name}" for alias in node.names} & MODULES.keys()
                yield from whole
                if len(whole) < len(node.names):
                    yield base


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_its_own_layer_or_from_below(module: str) -> None:
    own = layer(module)
    assert own is not None, f"{module} has no place in LAYERS of tests/test_house.py"
    for imported in imports(module, MODULES[module]):
        row = layer(imported)
        assert row is not None, f"{module} imports {imported}, which does not exist"
        assert row <= own, f"{module} may not import {imported}, which stands above it"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("streamst.client")))
def test_the_client_imports_nothing_of_the_server_but_the_wire(module: str) -> None:
    of_the_server = [name for name in imports(module, MODULES[module]) if name.startswith("streamst.server")]
    assert [name for name in of_the_server if not name.startswith("streamst.server.wire.")] == []


@pytest.mark.parametrize("name", LINKED)
def test_no_folder_of_a_linked_one_is_a_package_by_a_file_of_its_own(name: str) -> None:
    assert list((ROOT / name).rglob("__init__.py")) == []


def test_the_import_reader_sees_relative_lazy_and_typing_imports_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "from typing import TYPE_CHECKING\nfrom . import audio\nfrom .codecs import base\n"
        "if TYPE_CHECKING:\n    from streamst.cli import app\n"
        "def f():\n    import streamst.session\n    from streamst.errors import InputError\n    import codecs\n"
    )
    found = set(imports("streamst.m", tmp_path / "m.py"))
    assert found == {"streamst.audio", "streamst.codecs.base", "streamst.session", "streamst.errors"}


@pytest.mark.parametrize("name", LINKED)
def test_a_top_level_folder_is_linked_into_the_package_and_is_no_package_itself(name: str) -> None:
    assert (ROOT / name).is_dir()
    assert not (ROOT / name).is_symlink()
    assert (PACKAGE / name).is_symlink()
    assert (PACKAGE / name).readlink() == Path("..") / name


def test_the_links_are_tracked_as_links() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-s", *(f"streamst/{name}" for name in LINKED)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:  # not in a source archive
        assert [line.split()[0] for line in listed.stdout.splitlines()] == ["120000"] * len(LINKED)


def test_the_standard_librarys_codecs_is_not_ours() -> None:
    found = importlib.import_module("codecs").__file__
    assert found is not None
    assert not Path(found).resolve().is_relative_to(ROOT.resolve() / "codecs")


@pytest.fixture(scope="session")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built from a copy of the sources."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-c", BUILD, str(directory)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


# The build backend is called as `pip` calls it, but without an environment of its own; its scratch goes elsewhere.
BUILD = """
import sys, os, shutil
from pathlib import Path
target = Path(sys.argv[1])
copy = target / "source"
copy.mkdir()
for name in ("pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(name, copy)
for name in ("streamst", "codecs", "policies", "server", "web"):
    shutil.copytree(name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
os.chdir(copy)
from setuptools import build_meta
build_meta.build_wheel(str(target))
shutil.rmtree(copy)
"""


def test_the_wheel_holds_every_module_page_recipe_and_model_once(wheel_names: set[str]) -> None:
    wanted = {".".join(Path(path).with_suffix("").parts) for path in wheel_names if path.endswith(".py")}
    assert {name.removesuffix(".__init__") for name in wanted} == set(MODULES)
    for pattern in ("web/*", "web/coder/*", "assets/**/*", "train/recipes/*.toml", "train/recipes/*.tsv", "py.typed"):
        files = [path for path in PACKAGE.glob(pattern) if path.is_file() and "__pycache__" not in path.parts]
        missing = {path.relative_to(ROOT).as_posix() for path in files} - wheel_names
        assert not missing, f"{pattern} is not in the wheel"
    assert "streamst/web/index.html" in wheel_names
    assert not [name for name in wheel_names if name.partition("/")[0] in (*LINKED, "tests")]


def test_the_wheel_brings_the_command_and_the_licence(wheel_names: set[str]) -> None:
    (entry_points,) = (name for name in wheel_names if name.endswith("/entry_points.txt"))
    assert any(name.endswith("/licenses/LICENSE") for name in wheel_names), entry_points


def test_the_version_of_the_package_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert streamst.__version__ == project["version"]
