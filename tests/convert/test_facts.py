from __future__ import annotations

import html
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvsx.convert import facts, reader
from nvsx.convert.blocks import Page, clean
from nvsx.convert.commands import core_verb
from nvsx.convert.facts import PageFact
from nvsx.convert.matching import speech_of

PAGES = Path(__file__).parent / "pages"
MARKDOWN = (PAGES / "nested.md").read_text()
HTML = (PAGES / "confluence.html").read_text()
TEXT = (PAGES / "plain.txt").read_text()


def found(text: str, name: str = "page.md") -> list[PageFact]:
    """The facts of a page with this text."""
    return facts.extract(reader.blocks_of([Page(name, clean(text), "")]))


_word = st.text("abcdefghijkmnopqrstuvwxyz", min_size=3, max_size=8)
FACTS = st.one_of(
    st.tuples(st.just("url"), _word.map(lambda w: f"https://{w}.example.com/{w}?a=1")),
    st.tuples(st.just("channel"), _word.map(lambda w: f"#{w}-ops")),
    st.tuples(st.just("handle"), _word.map(lambda w: f"@{w}_lead")),
    st.tuples(st.just("email"), _word.map(lambda w: f"{w}@{w}.example.org")),
    st.tuples(st.just("phone"), st.integers(1000, 9999).map(lambda n: f"+1 415 555 {n}")),
    st.tuples(
        st.just("number"),
        st.tuples(st.integers(1, 999), st.sampled_from(["minutes", "min", "h", "%", "GPUs"])).map(
            lambda p: f"{p[0]} {p[1]}"
        ),
    ),
    st.tuples(st.just("ticket"), st.integers(1, 9999).map(lambda n: f"GPUOPS-{n}")),
    st.tuples(st.just("command"), _word.map(lambda w: f"kubectl get pods -n {w} -o wide")),
)
FRAMES = [
    "\n\nPlain prose with {} in it.\n\n",
    "\n\n- an item with {}\n",
    "\n\n1. one\n   - two\n     - three, {}\n\n",
    "\n\n> quoted {} words\n\n",
    "\n\n## Heading {}\n\n",
    "\n\n| a | b |\n|---|---|\n| x | {} |\n\n",
    "\n\n| a | {} |\n|---|---|\n| x | y |\n\n",
    "\n\n```\n{}\n```\n\n",
    "\n\n    {}\n\n",
    "\n\nwith `{}` as code\n\n",
    "\n\n**bold {}** and *more*\n\n",
    "\n\n<details><summary>x</summary>{}</details>\n\n",
    "\n\n<!-- hidden: {} -->\n\n",
    "\n\n[ref]: https://x.example.com '{}'\n\n",
]


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(fact=FACTS, frame=st.sampled_from(FRAMES), at=st.integers(0, MARKDOWN.count("\n")))
def test_a_fact_put_anywhere_into_markdown_is_found(
    fact: tuple[str, str], frame: str, at: int
) -> None:
    """Whatever the place and the form, an inserted fact is in the list, with its text."""
    kind, text = fact
    lines = MARKDOWN.split("\n")
    page = "\n".join(lines[:at]) + frame.replace("{}", text) + "\n".join(lines[at:])
    _is_there(found(page), kind, text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    fact=FACTS,
    frame=st.sampled_from(
        [
            "<p>say {}</p>",
            "<ul><li>x<ul><li>{}</li></ul></li></ul>",
            "<table><tr><th>a</th><th>b</th></tr><tr><td>x</td><td>{}</td></tr></table>",
            "<pre>{}</pre>",
            "<div>{}<br/>more</div>",
            "<h3>{}</h3>",
            "<p>with <b>bold <i>{}</i></b>",
            "<ac:plain-text-body><![CDATA[{}]]></ac:plain-text-body>",
            "<!-- {} -->",
        ]
    ),
    place=st.sampled_from(["<h2>Steps</h2>", "</div></body>", "<ol>"]),
)
def test_a_fact_put_anywhere_into_html_is_found(
    fact: tuple[str, str], frame: str, place: str
) -> None:
    """Nested, in tables, in macros, in comments: an inserted fact is in the list."""
    kind, text = fact
    said = text if "CDATA" in frame or "<!--" in frame else html.escape(text)
    page = HTML.replace(place, frame.replace("{}", said) + place, 1)
    _is_there(found(page, "page.html"), kind, text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(fact=FACTS, lead=st.sampled_from(["", "- ", "3) ", "  * ", "Say: "]), at=st.integers(0, 20))
def test_a_fact_put_anywhere_into_plain_text_is_found(
    fact: tuple[str, str], lead: str, at: int
) -> None:
    """Bullets, numbers or none: an inserted fact is in the list."""
    kind, text = fact
    lines = TEXT.split("\n")
    page = "\n".join([*lines[:at], "", f"{lead}{text}", "", *lines[at:]])
    _is_there(found(page, "page.txt"), kind, text)


def _is_there(listed: list[PageFact], kind: str, text: str) -> None:
    kinds = {kind} if kind != "command" else {"command", "code", "step", "message", "caveat"}
    fitting = [f for f in listed if text in f.text and f.kind in kinds]
    assert fitting, f"{kind} {text!r} is not among {[(f.kind, f.text) for f in listed]}"


@pytest.mark.parametrize(
    ("command", "verb"),
    [
        ("kubectl cordon n1", "cordon"),
        ("kubectl --context prod drain n1 --force", "drain"),
        ("$ sudo kubectl uncordon n1", "uncordon"),
        ("oc adm drain n1", "drain"),
        ("kubectl taint nodes n1 a=b:NoSchedule", "taint"),
        ("kubectl taint nodes n1 a-", "uncordon"),
        ("ssh root@n1 'sudo reboot'", "reboot"),
        ("ssh -o StrictHostKeyChecking=no n1 systemctl reboot", "reboot"),
        ("kubectl debug node/n1 -it --image=x -- chroot /host reboot", "reboot"),
        ("aws ec2 reboot-instances --instance-ids i-1", "reboot"),
        ("nvidia-smi --gpu-reset -i 0", "reboot"),
        ("shutdown -r now", "reboot"),
        ("kubectl get nodes", ""),
        ("kubectl describe node drain", ""),
        ("kubectl logs drain-pod -n x", ""),
        ("last reboot", ""),
        ("dmesg | grep reboot", ""),
        ("nvidia-smi -q", ""),
        ("kubectl delete pod x", ""),
    ],
)
def test_what_nvsentinel_does_itself_is_recognised(command: str, verb: str) -> None:
    """Core remediation is told from reading and from work that stays with people."""
    assert core_verb(command) == verb


def test_a_secret_sentence_keeps_words_and_loses_only_the_core_command() -> None:
    """The words around NVSentinel's command stay facts, the command itself does not."""
    (step, command, number) = (
        f
        for f in found("1. Drain it with `kubectl drain <node>` and wait 20 minutes for trainers.")
        if f.kind in ("step", "command", "number")
    )
    assert step.pieces == ("Drain it with", "and wait 20 minutes for trainers")
    assert (command.core, step.core) == ("drain", "")
    assert number.text == "20 minutes"


def test_what_nobody_sees_is_taken_out() -> None:
    """Zero-width and direction characters never reach a hook."""
    listed = found("1. tell #o\u200bps \u202eabout it\u202c")
    assert [f.text for f in listed if f.kind == "channel"] == ["#ops"]
    assert all("\u202e" not in f.text for f in listed)


@pytest.mark.parametrize(
    "said",
    [
        "<noscript>ask @who</noscript>",
        "<svg><text>ask @who</text></svg>",
        '<iframe src="https://x.example.com/@who"></iframe>',
        '<form action="https://x.example.com/@who"></form>',
        "<form><textarea>ask @who</textarea><button>Send</button></form>",
        '<input value="@who">',
        '<img src="x.png" title="see @who">',
        "<ac:task><ac:task-id>1</ac:task-id><ac:task-body>ask @who</ac:task-body></ac:task>",
        "<details><summary>x</summary>ask @who</details>",
        "<dl><dt>x</dt><dd>ask @who</dd></dl>",
        "<p hidden>ask @who</p>",
        "<del>ask @who</del>",
    ],
)
def test_no_corner_of_html_is_overlooked(said: str) -> None:
    """What a wiki shows in forms, drawings, tasks and frames is read like its text."""
    assert [f for f in found(f"<html><body><h1>x</h1>{said}</body></html>") if "@who" in f.text]


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("echo 'Page the on-call'", 1),
        ("x='Page the on-call'\necho \"$x\"", 1),
        ("cat <<E\nPage the on-call\nE", 2),
        ("if [ -n \"$x\" ]; then\n  echo 'Page the on-call'\nfi", 2),
        ("# Page the on-call", 0),
        ("if false; then echo 'Page the on-call'; fi", 0),
        ("exit 0\necho 'Page the on-call'", 0),
        ("false && echo 'Page the on-call'", 0),
        ("f() { echo 'Page the on-call'; }", 0),
        ("f() { echo 'Page the on-call'; }\nf", 1),
    ],
)
def test_words_count_where_they_can_be_said(script: str, line: int) -> None:
    """Words in a comment, or on a path that no run takes, are said to nobody."""
    assert speech_of("hook.sh", script).find(["Page the on-call"]) == line
