"""Structure and language of the source: import order, file sizes, docstrings."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Folder of each package and the name under which it is imported, lowest first.
PACKAGES = {
    "hf_specclip": "hf_specclip",
    "dataset_builders": "specclip_datasets",
    "training": "specclip_training",
}
# Rooms of the package, lowest floor first; imports run from a later floor to an earlier one.
FLOORS = (
    {"errors", "formatting", "version"},
    {"storage"},
    {"literature", "spectra"},
    {"models"},
    {"evaluation"},
    {"search", "classify", "outliers", "hub"},
    {"describe"},
    {"app"},
    {"cli"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
RIDDLE = re.compile(r"(What|How|Which|Where|Whether|Who)\b")
MAX_LINES = 500


def module_files() -> dict[str, Path]:
    modules = {}
    for folder, package in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = (package, *path.relative_to(ROOT / folder).with_suffix("").parts)
            modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


MODULES = module_files()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported_modules(name: str) -> set[str]:
    """Modules of this repository that a module imports anywhere, also inside functions."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    targets = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}"
                targets.add(target if target in MODULES else base)
    return targets & MODULES.keys()


GRAPH = {name: imported_modules(name) for name in MODULES}


def test_imports_run_one_way():
    order = list(PACKAGES.values())
    upward = []
    for name, targets in GRAPH.items():
        for target in targets:
            package, room = name.split(".")[0], name.split(".")[1:2]
            other_package, other_room = target.split(".")[0], target.split(".")[1:2]
            if order.index(other_package) > order.index(package):
                upward.append(f"{name} -> {target}")
            elif package == other_package == "hf_specclip" and room and other_room:
                floor, other_floor = FLOOR_OF[room[0]], FLOOR_OF[other_room[0]]
                if other_floor > floor or (other_floor == floor and room != other_room):
                    upward.append(f"{name} -> {target}")
    assert upward == []


def test_no_module_imports_the_face_of_its_package():
    faces = set(PACKAGES.values())
    inside = [name for name, targets in GRAPH.items() if name.split(".")[0] in targets & faces]
    assert inside == []


def test_there_is_no_import_circle():
    remaining = {name: set(targets) - {name} for name, targets in GRAPH.items()}
    while leaves := [name for name, targets in remaining.items() if not targets]:
        for leaf in leaves:
            del remaining[leaf]
        for targets in remaining.values():
            targets -= set(leaves)
    assert sorted(remaining) == []


def test_files_saved_beside_weights_import_only_their_siblings():
    for path in sorted((ROOT / "hf_specclip" / "models").glob("*.py")):
        name = f"hf_specclip.models.{path.stem}".removesuffix(".__init__")
        outside = {target for target in GRAPH[name] if not target.startswith("hf_specclip.models")}
        assert outside == set(), path.name


def test_the_root_of_the_package_holds_few_modules():
    modules = [path.name for path in (ROOT / "hf_specclip").glob("*.py")]
    assert len(modules) <= 8, modules


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks"])
def test_long_files_say_why(folder):
    """A file over 500 lines gives its reason in its docstring, with the words "One file"."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MAX_LINES:
            assert "One file" in (ast.get_docstring(ast.parse(text)) or ""), path


def definitions(tree: ast.Module):
    """Public classes, functions and methods of a module, with their names."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                        yield f"{node.name}.{item.name}", item


@pytest.mark.parametrize("name", TREES)
def test_docstrings_name_or_command(name):
    tree = TREES[name]
    assert ast.get_docstring(tree), f"{name} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            assert not RIDDLE.match(docstring), f"{name}: {docstring.splitlines()[0]}"


def test_docstrings_of_tests_are_no_riddles():
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                assert not RIDDLE.match(ast.get_docstring(node) or ""), (path.name, node)


def test_public_names_have_docstrings():
    missing = [
        f"{module}.{name}"
        for module, tree in TREES.items()
        for name, node in definitions(tree)
        if not ast.get_docstring(node) and not is_exempt(name, node)
    ]
    assert missing == []


def is_exempt(name: str, node: ast.AST) -> bool:
    """Methods that a base class documents: `forward` of a module, `run` and the like."""
    method = name.rpartition(".")[2]
    overload = isinstance(node, ast.FunctionDef) and bool(node.decorator_list)
    return "." in name and (method in {"forward", "preprocess", "postprocess"} or overload)
