"""`nvsx lint`: everything that can be known about runbooks without running them.

It takes runbooks that were discovered already and returns findings; printing and the exit
code are the command's. Nothing is executed but shellcheck, and no cluster is contacted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nvsx.core.routing.route import Evaluate, no_expressions
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.lint import lint_hooks, lint_patterns, lint_rules, lint_waits, stored_ledgers
from nvsx.lint.findings import Finding
from nvsx.lint.shellcheck import find_shellcheck
from nvsx.project.kept_answers import KeptAnswers

__all__ = ["Finding", "find_shellcheck", "lint"]

_RULES = (
    lint_rules.check_sense,
    lint_rules.check_triggers,
    lint_waits.check_waits,
    lint_waits.find_unrepaired,
    lint_patterns.find_slow_patterns,
    stored_ledgers.check_source,
)


def lint(
    catalog: Sequence[LoadedRunbook | BrokenRunbook],
    words: Vocabulary,
    names: Collection[str] = (),
    evaluate: Evaluate = no_expressions,
    *,
    answers: KeptAnswers | None = None,
    shellcheck: bool = True,
    targets: Collection[str] | None = None,
) -> list[Finding]:
    """The findings about the runbooks called `names` (all, when empty), in file order.

    All of the catalog is looked at for what concerns several, such as ambiguous routing.
    shellcheck takes seconds; doctor and setup leave it out. Where `answers` are given, scripts
    that have not changed are not read again. `targets` are the names of those that can be told,
    None where they are not known.
    """
    books = [b for b in catalog if isinstance(b, LoadedRunbook)]
    wanted = [b for b in books if not names or b.name in names]
    found = [
        Finding("error", "schema", problem, entry.name)
        for entry in catalog
        if isinstance(entry, BrokenRunbook)
        for problem in entry.problems
    ]
    for book in wanted:
        for rule in _RULES:
            found += rule(book, words)
    found += lint_hooks.check_files(
        wanted, answers or KeptAnswers(), shellcheck=shellcheck, targets=targets
    )
    found += lint_rules.find_ties(books, evaluate)
    found += lint_rules.find_shared_nicknames(books)
    kept = [f for f in dict.fromkeys(found) if not names or f.runbook in names]
    return sorted(kept, key=_sort_key)


def _sort_key(finding: Finding) -> tuple[str, str, int, int, str]:
    problem = finding.problem
    return (finding.runbook, problem.file, problem.line, problem.column, problem.message)
