"""What can be changed in a module: cosmic-ray's operators, and three that it lacks.

cosmic-ray finds and makes the changes. Its own runner starts a process and pytest for each of
them, which takes hours for three hundred: `mutants` forks instead.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

# Of a comparison only its limit and its opposite: what survives there is a missing row. The other
# changes that cosmic-ray knows are killed by the same rows, or say the same (`==` and `is`).
_NAMES = """
AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd
ReplaceBreakWithContinue ReplaceContinueWithBreak ExceptionReplacer NumberReplacer
ZeroIterationForLoop ReplaceUnaryOperator_Delete_Not ReplaceUnaryOperator_Delete_USub
ReplaceComparisonOperator_Lt_LtE ReplaceComparisonOperator_LtE_Lt
ReplaceComparisonOperator_Gt_GtE ReplaceComparisonOperator_GtE_Gt
ReplaceComparisonOperator_Eq_NotEq ReplaceComparisonOperator_NotEq_Eq
ReplaceComparisonOperator_Is_IsNot ReplaceComparisonOperator_IsNot_Is
ReplaceBinaryOperator_Add_Sub ReplaceBinaryOperator_Sub_Add ReplaceBinaryOperator_Mul_Div
ReplaceBinaryOperator_Div_Mul ReplaceBinaryOperator_FloorDiv_Mul ReplaceBinaryOperator_Mod_Mul
ReplaceBinaryOperator_BitOr_BitAnd ReplaceBinaryOperator_BitAnd_BitOr
"""


class _ReplacePart(Operator):  # type: ignore[misc]  # cosmic-ray comes without types
    """Replaces one child of a node: `change` says which child, and by what text."""

    def change(self, node: Any) -> tuple[int, str] | None:
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if getattr(node, "children", None) and (change := self.change(node)):
            part = node.children[change[0]]
            yield part.start_pos, part.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        assert index == 0
        place, text = self.change(node) or (0, "")
        node.children[place] = parso.parse(" " + text)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class NegateMembership(_ReplacePart):
    """`a in b` becomes `a not in b`, and the other way round."""

    def change(self, node: Any) -> tuple[int, str] | None:
        if node.type == "comparison":
            word = " ".join(node.children[1].get_code().split())
            if word in {"in", "not in"}:
                return 1, "not in" if word == "in" else "in"
        return None


class NegateFilter(_ReplacePart):
    """`[… if a]` becomes `[… if not (a)]`: AddNot knows statements and `a if b else c`."""

    def change(self, node: Any) -> tuple[int, str] | None:
        if node.type == "comp_if":
            return 1, f"not ({node.children[1].get_code().strip()})"
        return None


class SwapBuiltin(_ReplacePart):
    """The first becomes the last, and one that is enough becomes all that are needed."""

    OTHER: ClassVar = {"min": "max", "max": "min", "any": "all", "all": "any"}

    def change(self, node: Any) -> tuple[int, str] | None:
        if node.type in {"atom_expr", "power"} and node.children[1].get_code().startswith("("):
            other = self.OTHER.get(node.children[0].get_code().strip())
            return (0, other) if other else None
        return None


OPERATORS: dict[str, type[Operator]] = {
    **{name: get_operator(f"core/{name}") for name in _NAMES.split()},
    **{cls.__name__: cls for cls in (NegateMembership, NegateFilter, SwapBuiltin)},
}


@dataclass(frozen=True, order=True)
class Site:
    """A place where an operator can change a file: the operator's n-th in it."""

    file: str
    operator: str
    occurrence: int


@dataclass(frozen=True)
class Mutant:
    """A changed file, and what changed in words that outlive a move of the line."""

    file: str
    line: int
    function: str
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}\n    - {self.before}\n    + {self.after}"

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.file, self.function, self.before, self.after


def list_sites(file: str, source: str, lines: range | None = None) -> Iterator[Site]:
    """All places of a file, or those that begin on these lines."""
    nodes = list(ast_nodes(parso.parse(source)))
    for name, operator_class in OPERATORS.items():
        operator = operator_class()
        positions = [at for node in nodes for at in operator.mutation_positions(node)]
        for occurrence, (begin, _) in enumerate(positions):
            if lines is None or begin[0] in lines:
                yield Site(file, name, occurrence)


def make_mutant(site: Site, source: str) -> Mutant | None:
    """The file changed at this place; None where that decides nothing or is no Python."""
    changed = mutate_code(source, OPERATORS[site.operator](), site.occurrence)
    try:
        tree = ast.parse(changed)
    except SyntaxError:
        return None
    if _keep_decisions(tree) == _keep_decisions(ast.parse(source)):
        return None
    old, new = source.splitlines(), changed.splitlines()
    edits = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    (_, a, b, c, d) = next(edit for edit in edits if edit[0] != "equal")
    before, after = (" ".join(" ".join(part).split()) for part in (old[a:b], new[c:d]))
    return Mutant(site.file, a + 1, _name_function(source, a + 1), before, after, changed)


def find_mutants(file: str, function: str, before: str, root: Path) -> Iterator[Mutant]:
    """The mutants of the lines that read so in this function today."""
    source = (root / file).read_text()
    first = before.split(" ", maxsplit=1)[0]
    for number, text in enumerate(source.splitlines(), 1):
        if text.split()[:1] == [first] and _name_function(source, number) == function:
            for site in list_sites(file, source, range(number, number + 20)):
                mutant = make_mutant(site, source)
                if mutant and mutant.before == before and mutant.line == number:
                    yield mutant


def _keep_decisions(tree: ast.Module) -> str:
    """The tree as text, without what a type checker or an assertion for programmers reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = []
        if isinstance(node, ast.ClassDef):
            node.keywords = []
        if isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg != "strict"]
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            # An annotation that calls something, Annotated[int, Field(ge=1)], checks values.
            if part is not None and not any(isinstance(n, ast.Call) for n in ast.walk(part)):
                setattr(node, name, None)
    return ast.dump(tree)


def _name_function(source: str, line: int) -> str:
    """The dotted name of the innermost function or class around a line."""
    names: list[str] = []
    body: list[ast.AST] = [ast.parse(source)]
    while body:
        node = body.pop()
        for child in ast.iter_child_nodes(node):
            if getattr(child, "lineno", line) <= line <= (getattr(child, "end_lineno", line) or 0):
                if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    names.append(child.name)
                body.append(child)
    return ".".join(names) or "module"
