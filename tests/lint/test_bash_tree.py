"""What reading a script tells of it: commands, words, paths, and what was not read."""

import pytest

from nvsx.lint.bash_tree import read_script


@pytest.mark.parametrize(
    ("script", "reaches"),
    [
        ("a; b", {"a": "always", "b": "always"}),
        ("if x; then a; else b; fi; c", {"a": "maybe", "b": "maybe", "c": "always"}),
        ("if x; then a; elif y; then b; fi", {"a": "maybe", "y": "maybe", "b": "maybe"}),
        ("if false; then a; else b; fi", {"a": "never", "b": "always"}),
        ("if true; then a; else b; fi", {"a": "always", "b": "never"}),
        ("if ! true; then a; fi", {"a": "never"}),
        ("if false; then x; elif y; then a; else b; fi", {"a": "maybe", "b": "maybe"}),
        ("if true; then x; elif y; then a; else b; fi", {"a": "never", "b": "never"}),
        ("x && a || b", {"a": "maybe", "b": "maybe"}),
        ("true && a", {"a": "always"}),
        ("false && a", {"a": "never"}),
        ("true || a", {"a": "never"}),
        ("a; exit 0; b", {"a": "always", "b": "never"}),
        ("if x; then exit; a; fi; b", {"a": "never", "b": "always"}),
        ("while false; do a; done", {"a": "never"}),
        ("until true; do a; done", {"a": "never"}),
        ("until x; do a; done", {"a": "maybe"}),
        ("for i in 1 2; do a; done", {"a": "maybe"}),
        ("case $x in 1) a ;; *) b ;; esac", {"a": "maybe", "b": "maybe"}),
        ("f() { a; }; f", {"a": "maybe"}),
        ("f() { a; }", {"a": "never"}),
        ("f() { a; }; trap 'f x' EXIT", {"a": "maybe"}),
        ("if false; then x=$(a); fi", {"a": "never"}),
        ("{ a; } >x; ( b )", {"a": "always", "b": "always"}),
    ],
)
def test_commands_know_the_paths_they_are_on(script: str, reaches: dict[str, str]) -> None:
    """A command that no run reaches is told from one that some run, or every run, reaches."""
    found = {c.program: c.reach for c in read_script(script).commands}
    assert {name: found[name] for name in reaches} == reaches


@pytest.mark.parametrize(
    ("word", "literal", "shown", "exact"),
    [
        ("a\\ b", "a b", "a b", True),
        ("'a  $x'", "a  $x", "a  $x", True),
        ('"a  \\$x \\" \\n"', 'a  $x " \\n', 'a  $x " \\n', True),
        ("$'a\\n\\''", "a\n'", "a\n'", True),
        ('"$x  $y"', None, "$x  $y", True),
        ('"${x} ${y:-z}"', None, "$x ${y:-z}", True),
        ("$x", None, "$x", False),
        ("a$(b)c", None, "a$()c", False),
        ("*.sh", "*.sh", "*.sh", False),
        ("'*'.sh", "*.sh", "*.sh", True),
        ("{a,b}", "{a,b}", "{a,b}", False),
        ("k''\"ube\"ctl", "kubectl", "kubectl", True),
    ],
)
def test_words_are_read_as_bash_reads_them(
    word: str, literal: str | None, shown: str, exact: bool
) -> None:
    """Quotes are taken off, expansions stay apart, and what the shell may split is said."""
    script = read_script(f"x {word}")
    read = script.commands[-1].words[1]
    assert (read.literal, read.shown, read.is_exact) == (literal, shown, exact)
    assert script.unread == []


@pytest.mark.parametrize(
    "script",
    [
        "a=1 b=\nif x; then y; fi",
        "exec 3<>/tmp/x",
        "x=$((10#$1 / 1000))",
        '{ read -r a; } <<<"$x"y',
        'echo "${x:+ ($y)}"',
        "text=${text//$'\\n'/\"${bs}n\"}",
        "cat <<E | sort >x\n$y\nE\nz",
        "f() { x; } 2>/dev/null; f &",
    ],
)
def test_what_the_grammar_stumbles_over_is_read(script: str) -> None:
    """Ordinary bash that tree-sitter's grammar gets wrong, or does not know, leaves no doubt."""
    read = read_script(script)
    assert read.unread == []
    assert not any(c.program in ("if", "then", "fi") for c in read.commands)


@pytest.mark.parametrize(
    "script",
    [
        "if x; then y",
        "} x",
        "echo 'a",
        'echo "${x#\'}"; x "\'}"',
        "cat <<E\nx",
        "cat <<E\n E\nE",
        "cat <<E'F'\nEF\nx",
        "[ a > b ]",
        "x=(y)=z a",
        "echo $(a # b)\n)",
        'echo $"x"',
    ],
)
def test_what_may_be_read_otherwise_is_listed(script: str) -> None:
    """Where the tree and bash may disagree, the script says that it was not all read."""
    assert read_script(script).unread != []


@pytest.mark.parametrize("script", ["local x=$a/$b y=1", "x=$a'/'$b y=1", "x=$a'/'$b y=1 cmd"])
def test_a_value_is_whole(script: str) -> None:
    """What stands right behind a variable in a value is part of it, and no command."""
    (command,) = read_script(script).commands
    shown = [(name, value.shown) for name, value in command.assigned]
    assert shown == [("x", "$a/$b"), ("y", "1")]
    assert [w.raw for w in command.words if "=" not in w.raw] in ([], ["local"], ["cmd"])


def test_a_heredoc_belongs_to_its_command() -> None:
    """The body is said by the command it stands at, at its own line; what follows goes on."""
    first, second = read_script("cat <<E >x\na $b\nE\nnext").commands
    assert [(w.shown, w.line) for w in first.said] == [("a $b\n", 2)]
    assert [(op, w.raw) for op, w in first.redirects] == [(">", "x")]
    assert (second.program, second.line) == ("next", 4)
