"""Prints the packages of recsys in the order of the data, with their files and the imports between them: make packages

Exits with status 1 if a file imports from a later package.
"""

import ast
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Each floor imports only from those before it. "top" is every other file in recsys/: commands and the public names.
FLOORS = ("files", "runs", "data", "evaluation", "models", "training", "audit", "reports", "top")


def module_name(path: Path) -> str:
    """Return the name by which a file of this repository is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ROOT / "recsys").rglob("*.py"))}


def floor(module: str) -> str:
    """Return the floor of a module."""
    name = module.split(".")[1] if "." in module else "top"
    return name if name in FLOORS else "top"


def imports(module: str, source: str) -> set[str]:
    """Return the modules of recsys that a source imports, at the top of the file or inside a function.

    Raises ValueError for a relative import.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{module}, line {node.lineno}: expected an absolute import, got a relative one")
            members = [f"{node.module}.{each.name}" for each in node.names]
            found |= {each if each in MODULES else str(node.module) for each in members}
    return {each for each in found if each.split(".")[0] == "recsys"} - {module}


def runs_up(module: str, imported: str) -> bool:
    """Return whether `module` imports from a later floor."""
    return FLOORS.index(floor(imported)) > FLOORS.index(floor(module))


def first_sentence(source: str) -> str:
    """Return the first sentence of a module's docstring."""
    docstring = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0]
    return re.split(r"(?<=\.) (?=[A-Z`])", " ".join(docstring.split()))[0]


def picture(sources: dict[str, str], arrows: list[tuple[str, str]]) -> str:
    """Return the floors, the files of each with their first sentence, and how many imports lead to other floors."""
    lines, total = [], 0
    for name in FLOORS:
        files = {module: source for module, source in sources.items() if floor(module) == name}
        n_lines = sum(bool(line.strip()) for source in files.values() for line in source.splitlines())
        total += n_lines
        below = Counter(floor(imported) for module, imported in arrows if floor(module) == name != floor(imported))
        counts = ", ".join(f"{each} ({below[each]})" for each in FLOORS if each in below)
        lines.append(f"{name}: {n_lines:,} lines; imports from {counts or 'no other package'}")
        for module, source in files.items():
            path = MODULES[module].relative_to(ROOT / "recsys").as_posix().removeprefix(f"{name}/")
            lines.append(f"    {path:<28} {first_sentence(source)}".rstrip())
        lines.append("")
    return "\n".join([*lines, f"{len(sources)} files, {total:,} lines; blank lines are not counted"])


def main() -> int:
    """Run the command and return its exit status."""
    sources = {module: path.read_text(encoding="utf-8") for module, path in MODULES.items()}
    arrows = [(module, imported) for module, source in sources.items() for imported in imports(module, source)]
    print(picture(sources, arrows))
    up = sorted(arrow for arrow in arrows if runs_up(*arrow))
    for module, imported in up:
        print(f"expected imports from earlier packages only, got {module} importing {imported}", file=sys.stderr)
    return int(bool(up))


if __name__ == "__main__":
    sys.exit(main())
