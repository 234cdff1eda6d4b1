#!/usr/bin/env python3
"""Which modules of a crate need each other: fails where some do in a circle, or draws the graph.

Modules are compared with those beside them: the top-level modules of a crate, and the modules of every folder. What a
module re-exports belongs to the module that defines it. A module may use what its parent defines, and a parent what is
below it; `--parents` counts that too, with the parent's own code as a module `mod` beside those below. Tests and comments
don't count.

    module_graph.py                              prints circles, with the lines that make them; exit status 1 if there are any
    module_graph.py --draw                       prints the graphs of the top-level modules for Mermaid
    module_graph.py --check docs/architecture.md exit status 1 if the graphs in the file are not those; none there is fine
"""

import argparse
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- module graphs: scripts/module_graph.py --draw -->", "<!-- end of module graphs -->"
OWN = "mod"
# Lines printed for what one module needs of another.
SHOWN = 6

# Comments, strings and characters, in which nothing is code. A lifetime is no character.
NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\u\{[^}]*\}|\\x..|\\.|[^\\'\n])'""", re.DOTALL
)
TEST = re.compile(r"#\[cfg\((?:test|all\(test\b[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*")
DECLARED = re.compile(r"\bmod\s+(\w+)\s*;")
USE = re.compile(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])(?:r#)?\w+(?:\s*::\s*\w+)+")
DEFINED = re.compile(r"\b(?:fn|struct|enum|union|trait|type|const|static|macro_rules!)\s+(\w+)")


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def end_of_item(code, start):
    """Where the item that begins at `start` ends: at its `;`, or where its braces close."""
    depth = 0
    for at in range(start, len(code)):
        if code[at] in "{([":
            depth += 1
        elif code[at] in "})]":
            depth -= 1
        if depth == 0 and code[at] in ";}":
            return at + 1
    return len(code)


def without_tests(text):
    """The code, in the lines where it stands, and the names of the modules that are only there for tests."""
    code = NO_CODE.sub(lambda found: blank(found[0]), text)
    tests = set()
    while found := TEST.search(code):
        end = end_of_item(code, found.end())
        tests.update(DECLARED.findall(code[found.start() : end]))
        code = code[: found.start()] + blank(code[found.start() : end]) + code[end:]
    return code, tests


def leaves(tree, start=0, before=()):
    """The paths of the tree of a `use`: each with the name it gets, and where it stands."""
    depth, parts, begin = 0, [], 0
    for at, letter in enumerate(tree):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append((begin, tree[begin:at]))
            begin = at + 1
    parts.append((begin, tree[begin:]))
    for begin, part in parts:
        head, brace, inner = part.partition("{")
        words = re.findall(r"\w+|\*", head.split(" as ")[0])
        path = before + tuple(words)
        where = start + begin + len(part) - len(part.lstrip())
        if brace:
            yield from leaves(inner.rpartition("}")[0], start + begin + len(head) + 1, path)
        elif words:
            if path[-1] == "self":
                path = path[:-1]
            yield path, re.findall(r"\w+|\*", part)[-1] if " as " in part else path[-1], where


class Module:
    """A file: its path in the crate, what it uses and what it defines."""

    def __init__(self, path, file, code):
        self.path, self.file = path, file
        self.uses = []  # path, line, whether it is a re-export
        self.names = {}  # imported name: path
        self.globs = []
        self.defined = set(DEFINED.findall(code))

        def line(at):
            return code.count("\n", 0, at) + 1

        for found in USE.finditer(code):
            for words, name, where in leaves(found[2]):
                self.uses.append((words, line(found.start(2) + where), found[1] is not None))
                if name == "*":
                    self.globs.append(words[:-1])
                elif name != "_":
                    self.names[name] = words
        below = set(DECLARED.findall(code)) | {"crate", "self", "super"}
        rest = USE.sub(lambda found: blank(found[0]), code)
        for found in PATH.finditer(rest):
            words = tuple(re.findall(r"\w+", found[0]))
            if words[0] in below:
                self.uses.append((words, line(found.start()), False))


class Crate:
    """The modules of a crate and what they need of each other."""

    def __init__(self, root, member, parents=False):
        folder = root / member
        self.root, self.parents = root, parents
        self.name = tomllib.loads((folder / "Cargo.toml").read_text())["package"]["name"]
        self.modules = {}
        if (folder / "src/lib.rs").is_file():
            self.read((), folder / "src/lib.rs", folder / "src")
        # In each folder: who needs whom, and the lines that say so.
        self.levels = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for module in self.modules.values():
            for words, line, is_public in module.uses:
                self.add(module, words, line, is_public)

    def read(self, path, file, below):
        """Reads a module and those that it declares."""
        code, _ = without_tests(file.read_text())
        self.modules[path] = Module(path, file, code)
        for name in DECLARED.findall(code):
            for found, inside in [(below / f"{name}.rs", below / name), (below / name / "mod.rs", below / name)]:
                if found.is_file():
                    self.read((*path, name), found, inside)

    def resolve(self, path, words, seen=frozenset()):
        """The module that defines what `words` name in the module `path`; none if that is another crate's."""
        if not words or (path, words[0]) in seen:
            return None if words else path
        first, rest = words[0], words[1:]
        if first == "crate":
            return self.within((), rest, seen)
        if first in ("self", "super"):
            return self.within(path[:-1] if first == "super" else path, rest, seen)
        if (*path, first) in self.modules:
            return self.within(path, words, seen)
        if first in self.modules[path].names:
            return self.resolve(path, (*self.modules[path].names[first], *rest), seen | {(path, first)})
        return None

    def within(self, path, words, seen):
        """As `resolve`, of words that can only be names in `path`."""
        module = self.modules.get(path)
        if module is None or not words or words[0] == "*":
            return path if module else None
        first, rest = words[0], words[1:]
        if first == "super":
            return self.within(path[:-1], rest, seen)
        if (*path, first) in self.modules:
            return self.within((*path, first), rest, seen)
        if first in module.names and (path, first) not in seen:
            return self.resolve(path, (*module.names[first], *rest), seen | {(path, first)})
        if first not in module.defined:
            for glob in module.globs:
                target = self.resolve(path, glob, seen)
                if target is not None and first in self.modules[target].defined:
                    return target
        return path

    def add(self, module, words, line, is_public):
        source, target = module.path, self.resolve(module.path, words)
        if target is None or target == source:
            return
        shared = 0
        while source[shared : shared + 1] == target[shared : shared + 1] != ():
            shared += 1
        is_below = shared == len(source)
        if is_below and is_public:
            return
        needs = OWN if is_below else source[shared]
        needed = OWN if shared == len(target) else target[shared]
        if OWN in (needs, needed) and not self.parents:
            return
        place = f"{module.file.relative_to(self.root)}:{line}"
        places = self.levels[source[:shared]][needs][needed]
        if place not in places:
            places.append(place)

    def circles(self):
        """Sets of modules that need each other, with the folder they are in."""
        for level, graph in sorted(self.levels.items()):
            reached = {start: reachable(graph, start) for start in graph}
            groups = {frozenset(b for b in reached[a] if a in reached.get(b, ())) for a in graph}
            for group in sorted(map(sorted, filter(None, groups))):
                yield level, group


def reachable(graph, start):
    found, waiting = set(), [start]
    while waiting:
        for needed in graph.get(waiting.pop(), ()):
            if needed not in found:
                found.add(needed)
                waiting.append(needed)
    return found


def crates(root, parents=False):
    members = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"]
    return [Crate(root, member, parents) for member in members]


def print_circles(all_crates):
    count = 0
    for crate in all_crates:
        for level, group in crate.circles():
            count += 1
            where = "::".join((crate.name, *level))
            print(f"{where}: {', '.join(group)} need each other in a circle")
            for needs in group:
                for needed, places in sorted(crate.levels[level][needs].items()):
                    if needed in group:
                        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
                        print(f"  {needs} needs {needed}: {', '.join(places[:SHOWN])}{more}")
    return count


def draw(all_crates):
    """Mermaid's text. An arrow that follows from others is left out, unless there are circles."""
    lines = [BEGIN, ""]
    for crate in all_crates:
        graph = {needs: set(needed) for needs, needed in crate.levels[()].items()}
        names = sorted(path[0] for path in crate.modules if len(path) == 1)
        if len(names) < 2:
            continue
        has_circles = any(level == () for level, _ in crate.circles())
        lines += [f"`{crate.name}`:", "", "```mermaid", "graph TD"]
        for name in names:
            needed = graph.get(name, set())
            kept = [b for b in sorted(needed) if has_circles or not any(b in reachable(graph, c) for c in needed)]
            if not kept and not any(name in others for others in graph.values()):
                lines.append(f"  {name}")
            lines += [f"  {name} --> {b}" for b in kept]
        lines += ["```", ""]
    return "\n".join([*lines, END])


def is_current(document, drawn):
    """Whether the graphs in a document are those drawn; a document without graphs has none that are out of date."""
    text = document.read_text() if document.is_file() else ""
    if BEGIN not in text:
        return True
    return text[text.index(BEGIN) :].startswith(drawn)


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parents", action="store_true", help="count a parent and what is below it too")
    parser.add_argument("--draw", action="store_true", help="print the graphs of the top-level modules")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare the graphs in a document")
    chosen = parser.parse_args(arguments)
    all_crates = crates(root, chosen.parents)
    if chosen.draw:
        print(draw(all_crates))
        return 0
    if chosen.check:
        if is_current(chosen.check, draw(all_crates)):
            return 0
        print(f"{chosen.check}: its module graphs are not those of the code; `scripts/module_graph.py --draw` prints them")
        return 1
    return 1 if print_circles(all_crates) else 0


if __name__ == "__main__":
    sys.exit(main())
