"""`nvsx setup`: the first-run wizard.

Questions and what they are about go to stderr, answers come from stdin. Nothing is written
before the last yes; a no, Ctrl-C or the end of the input at any question ends it.
"""

from __future__ import annotations

import asyncio
import json
import pydoc
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from nvsx.cluster.gateway import Gateway
from nvsx.commands.doctor.doctor_command import lines
from nvsx.commands.doctor.doctor_facts import ChosenCluster
from nvsx.commands.output_option import Output, wants_json
from nvsx.commands.setup import setting_up
from nvsx.commands.setup.setting_up import ClusterLook
from nvsx.commands.setup.setup_project import Choice, Planned, ProjectPlan, State, caveat, recommend
from nvsx.core.errors import ClusterError, Conflict, UsageError
from nvsx.project import new_files
from nvsx.project.home import Home
from nvsx.project.new_files import NewFile

#: (question, answer when only Enter is pressed) → the answer.
Ask = Callable[[str, str], str]
_NO = ("n", "no", "q", "quit")
_YES = ("y", "yes")


class Stopped(Exception):
    """Somebody said no."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("setup")(setup)


def setup(
    ctx: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take every default, and write.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Take every default, show everything, write nothing.")
    ] = False,
    output: Output = None,
) -> None:
    """Look at the cluster and make a project folder with the starter runbooks that fit.

    It reads the cluster, shows every file before it writes one, and writes only after a yes.

    Examples:
      nvsx setup
      nvsx setup --dry-run
      nvsx --project ./runbooks --context prod setup --yes -o json
    """
    home: Home = ctx.obj
    as_json = wants_json(output)
    if as_json and not (yes or dry_run):
        raise UsageError("-o json asks nothing", "add --dry-run or --yes")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise UsageError("setup asks questions, and stdin is not a terminal", "add --yes")
    wizard = Wizard(home, _take_default if yes or dry_run else _ask_person, quiet=as_json)
    try:
        told = wizard.run(write=not dry_run, show=not yes or dry_run)
    except (Stopped, KeyboardInterrupt, EOFError):
        _tell_person("\nStopped. Nothing was written.")
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(told, indent=2))


def _take_default(question: str, default: str) -> str:  # noqa: ARG001 - an Ask
    return default


def _ask_person(question: str, default: str) -> str:
    sys.stderr.write(f"{question} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip() or default


def _tell_person(text: str = "") -> None:
    typer.echo(text, err=True)


class Wizard:
    """One walk through setup. `gateway` stands in for the one the options lead to."""

    def __init__(
        self, home: Home, ask: Ask, *, quiet: bool = False, gateway: Gateway | None = None
    ) -> None:
        self._home, self._ask, self._gateway = home, ask, gateway
        self._tell_person: Callable[[str], None] = (lambda _: None) if quiet else _tell_person

    def run(self, *, write: bool = True, show: bool = True) -> dict[str, Any]:
        """The steps in order; what was found and done, as JSON-able data.

        Raises Stopped at a no, Conflict when files are in the way, and UsageError.
        """
        look = self._choose_cluster()
        chosen = self._choose_runbooks(look)
        root = self._choose_folder()
        plan = setting_up.plan_project(root, chosen, look.learned)
        self._list_files(plan)
        if taken := [f.path for f in plan.of("conflict")]:
            raise Conflict(
                f"nothing was written: {root} has other files called {', '.join(taken)}",
                "choose another folder with --project, or move them away",
            )
        new = plan.of("new")
        if new and show:
            self._show_files(plan)
        if new and write:
            word = "file" if len(new) == 1 else "files"
            self._require_yes(f"Write these {len(new)} {word} to {root}? [y/N]", default="y")
            new_files.write(root, new)
        if write:
            self._tell_next_steps(root, chosen, new)
        else:
            self._tell_person("\nDry run: nothing was written.")
        return _as_json(look, chosen, plan, wrote=bool(new) and write)

    # --- the cluster ----------------------------------------------------------------------

    def _choose_cluster(self) -> ClusterLook:
        target, gateway = setting_up.target_of(self._home, self._gateway)
        if target.trouble is None:
            target, gateway = self._choose_context(target, gateway)
            self._tell_person("\nlooking at the cluster …\n")
        look = asyncio.run(setting_up.look(self._home, target, gateway))
        self._show_report(look)
        if not look.report.reached:
            question = "Go on without a cluster, and recommend by guess? [y/N]"
            if self._ask(question, "n").lower() not in _YES:
                if self._ask is _take_default:
                    raise ClusterError(
                        "the cluster cannot be reached; nothing was written",
                        "see `nvsx doctor`",
                    )
                raise Stopped
        return look

    def _choose_context(
        self, target: ChosenCluster, gateway: Gateway | None
    ) -> tuple[ChosenCluster, Gateway | None]:
        """Show which cluster would be looked at, and let another be named."""
        where = f" ({target.server})" if target.server else ""
        self._tell_person(f"Cluster: context {target.context or 'of this pod'}{where}")
        self._tell_person("It is only read: nodes, pods, NVSentinel's modules and settings.")
        others = f", or another of: {', '.join(target.others)}" if target.others else ""
        answer = self._ask(f"Look at it? [Y/n{others}]", "y")
        if answer.lower() in _YES:
            return target, gateway
        if answer in target.others:
            self._home = Home(self._home.project_flag, answer)
            return setting_up.target_of(self._home)
        if answer.lower() not in _NO:
            raise UsageError(
                f"kubectl has no context {answer}", "see `kubectl config get-contexts`"
            )
        raise Stopped

    def _show_report(self, look: ClusterLook) -> None:
        self._tell_person("\n".join(lines(look.report, sys.stderr)))

    # --- runbooks and folder --------------------------------------------------------------

    def _choose_runbooks(self, look: ClusterLook) -> list[str]:
        choices = recommend(setting_up.starters(), look.survey.cluster.installation)
        marked = [c.name for c in choices if c.recommended]
        self._tell_person("\nStarter runbooks (* recommended here):")
        width = max(len(c.name) for c in choices)
        for number, choice in enumerate(choices, 1):
            mark = "*" if choice.recommended else " "
            why = f" - {choice.reason}" if choice.reason else ""
            title = choice.runbook.metadata.title
            self._tell_person(f"  {number} {mark} {choice.name.ljust(width)}  {title}{why}")
        if note := caveat(look.survey.cluster.installation):
            self._tell_person(textwrap.fill(note, min(shutil.get_terminal_size().columns, 100)))
        answer = self._ask("Which? [Enter: those with *; numbers or names; all; n: stop]", "*")
        return chosen_of(answer, choices, marked)

    def _choose_folder(self) -> Path:
        cwd = Path.cwd()
        default = setting_up.default_folder(self._home, cwd)
        answer = self._ask(f"\nProject folder? [Enter: {default}; a path; n: stop]", str(default))
        if answer.lower() in _NO:
            raise Stopped
        root = (cwd / Path(answer).expanduser()).absolute()
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is not a folder", "choose another")
        return root

    # --- files ----------------------------------------------------------------------------

    def _list_files(self, plan: ProjectPlan) -> None:
        self._tell_person(f"\nIn {plan.root}:")
        words = {"new": "new", "there": "there", "kept": "kept", "conflict": "IN THE WAY"}
        width = min(shutil.get_terminal_size().columns, 100)
        for (state, folder), group in groupby(plan.files, _sort_by_place):
            names = " ".join(p.file.path.rpartition("/")[2] for p in group)
            head = f"  {words[state]:5}  {folder}"
            indent = " " * 11
            text = f"{head}{names}"
            self._tell_person(
                textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)
            )
        new = plan.of("new")
        if left_out := setting_up.ignored(plan.root, [f.path for f in new]):
            count = f"{len(left_out)} of them" if len(left_out) > 1 else "one of them"
            self._tell_person(f"git ignores {count}, such as {left_out[0]}: see your .gitignore.")
        if not plan.of("new", "conflict"):
            self._tell_person("Everything is there already; nothing to write.")
        elif plan.of("kept"):
            self._tell_person("kept: your version differs from the shipped one, and stays.")

    def _show_files(self, plan: ProjectPlan) -> None:
        text = "\n".join(plan.shown())
        if sys.stdin.isatty() and sys.stdout.isatty():
            self._tell_person("\nShowing each file (q leaves the pager).")
            pydoc.pager(text)
        else:
            self._tell_person(f"\n{text}")

    def _require_yes(self, question: str, *, default: str) -> None:
        """Anything but a yes is a no. The default is for --yes: Enter alone is a no."""
        answer = self._ask(question, default if self._ask is _take_default else "n")
        if answer.lower() not in _YES:
            raise Stopped

    def _tell_next_steps(self, root: Path, chosen: Sequence[str], new: Sequence[NewFile]) -> None:
        self._tell_person("\nWritten. Next:" if new else "\nNext:")
        steps = [] if root == Path.cwd() else [f"cd {root}"]
        if not setting_up.in_repository(root):
            steps.append("git init")
        if new:
            tops = sorted({f.path.partition("/")[0] for f in new})
            steps.append(f"git add {' '.join(tops)}")
            steps.append('git commit -m "Add nvsx runbooks"')
        if chosen:
            steps.append(f"nvsx run {chosen[0]} --sandbox    # a whole incident; reaches nobody")
        steps += ["nvsx doctor", "nvsx serve --mode watch"]
        for step in steps:
            self._tell_person(f"  {step}")
        self._tell_person(
            "Who is told stands under `notify:` in nvsx.yaml, or in SLACK_WEBHOOK_URL,"
        )
        self._tell_person("PAGERDUTY_ROUTING_KEY, JIRA_…: `nvsx notify test` sends one message.")


def _sort_by_place(planned: Planned) -> tuple[State, str]:
    folder, slash, _ = planned.file.path.rpartition("/")
    return planned.state, f"{folder}{slash} " if slash else ""


def chosen_of(answer: str, choices: Sequence[Choice], marked: Sequence[str]) -> list[str]:
    """Names from an answer of names and numbers. Raises Stopped for a no, UsageError."""
    if answer.lower() in _NO:
        raise Stopped
    if answer == "*":
        return list(marked)
    if answer.lower() == "all":
        return [c.name for c in choices]
    chosen = []
    for word in answer.replace(",", " ").split():
        if word.isdigit() and 0 < int(word) <= len(choices):
            chosen.append(choices[int(word) - 1].name)
        elif word in {c.name for c in choices}:
            chosen.append(word)
        else:
            raise UsageError(f"no starter runbook is called {word}", "nothing was written")
    return list(dict.fromkeys(chosen))


def _as_json(
    look: ClusterLook, chosen: list[str], plan: ProjectPlan, *, wrote: bool
) -> dict[str, Any]:
    return {
        "context": look.survey.target.context,
        "checks": [f.as_dict() for f in look.report.findings],
        "runbooks": chosen,
        "folder": str(plan.root),
        "files": [
            {"path": p.file.path, "state": p.state, "executable": p.file.executable}
            for p in plan.files
        ],
        "written": wrote,
    }
