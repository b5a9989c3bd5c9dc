"""CEL, compiled once and evaluated by Google's cel-cpp: the `when` of triggers, which is true
or false, and the `cel` rules of webhook sources, which find a text in a message.

The library is imported when the first expression is met. An expression that cannot be
evaluated for an event (a key the event does not have) does not hold, and says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from nvsx.core import patterns
from nvsx.core.routing.route import Holds, Truth
from nvsx.core.senders.message_fields import Computed

_MAX_LENGTH = 2000


@lru_cache(maxsize=2)
def _make_environment(variable: str) -> Any:
    """CEL with its usual string functions (lowerAscii, split, replace, substring, trim, join, …),
    and `text.extract(pattern)`, since `matches` says only whether there is a match."""
    from cel_expr_python import cel  # type: ignore[import-untyped]
    from cel_expr_python.ext import ext_strings  # type: ignore[import-untyped]

    text = cel.Type.STRING
    extract = cel.Overload(
        "string_extract",
        return_type=text,
        parameters=[text, text],
        is_member=True,
        impl=_extract_group,
    )
    ours = cel.CelExtension("nvsx", [cel.FunctionDecl("extract", [extract])])
    return cel.NewEnv(
        variables={variable: cel.Type.DYN}, extensions=[ext_strings.ExtStrings(), ours]
    )


def _extract_group(text: str, pattern: str) -> str:
    """The pattern's first group where it matches, or all that it matches; "" where it does not.

    'XID 79 on n1'.extract('XID ([0-9]+)') is '79'.
    """
    try:
        found = patterns.search_within(pattern, text, patterns.LIMIT)
    except (ValueError, patterns.TooSlow):
        return ""
    return (found[min(found.re.groups, 1)] or "") if found is not None else ""


# More than any project has: one too many, met in turn, would compile every one every time.
@lru_cache(maxsize=20_000)
def _compile_expression(expression: str, variable: str = "event") -> Any:
    """The compiled expression. Raises ValueError with what is wrong, and where in it."""
    if len(expression) > _MAX_LENGTH:
        raise ValueError(f"the expression is longer than {_MAX_LENGTH} characters")
    # The patterns of matches() are RE2's, and nothing can stop it; the counts of all together.
    if (pieces := patterns.count_pieces(expression)[1]) > patterns.MAX_PROGRAM:
        raise ValueError(
            f"its counts in braces repeat {pieces} pieces, and {patterns.MAX_PROGRAM} are the most"
        )
    try:
        program = _make_environment(variable).compile(expression)
    except RuntimeError as exc:  # the library's only exception, whatever is wrong
        raise ValueError(_strip_positions(str(exc))) from None
    kind = program.return_type().name().upper()
    allowed, wanted = _RESULTS[variable]
    if kind not in allowed:
        raise ValueError(f"the expression is {kind.lower()}, not {wanted}")
    return program


#: What an expression may be, by the variable it is over.
_RESULTS = {
    "event": (("BOOL", "DYN"), "true or false"),
    "body": (("STRING", "INT", "BOOL", "DYN"), "a text"),
}


def _strip_positions(text: str) -> str:
    """One line out of cel-cpp's report, with the position inside the expression."""
    found = re.search(r"<input>:(\d+):(\d+): (.*)", text)
    if found is None:
        return text.splitlines()[0]
    line, column, message = found.groups()
    where = f"character {column}" if line == "1" else f"line {line}, character {column}"
    message = message.replace(" (in container '')", "")
    return f"{message} at {where}"


def check(expression: str) -> str:
    """What is wrong with an expression, in words; "" when it compiles."""
    try:
        _compile_expression(expression)
    except ValueError as exc:
        return str(exc)
    return ""


def check_value(expression: str, *, boolean: bool = False) -> str:
    """As `check`, for an expression over `body` that gives a text; `boolean` where true and
    false are an answer too."""
    try:
        program = _compile_expression(expression, "body")
    except ValueError as exc:
        return str(exc)
    if program.return_type().name().upper() == "BOOL" and not boolean:
        return "the expression is bool, not a text"
    return ""


def _as_cel_takes_it(value: Any) -> Any:
    """The value with whole numbers beyond 64 bits as doubles: CEL has no such whole numbers, and
    would refuse the whole message for one. Texts are cut: what an expression does with each
    cannot be stopped, and a megabyte may come from anybody."""
    if isinstance(value, str):
        return value[: patterns.MAX_TEXT]
    if isinstance(value, Mapping):
        return {key: _as_cel_takes_it(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_cel_takes_it(inner) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def value(expression: str, body: Mapping[str, object]) -> Computed:
    """The text an expression finds in `body`. Never raises for what a body contains."""
    try:
        program = _compile_expression(expression, "body")
        result = program.eval(data={"body": _as_cel_takes_it(body)})
    except (ValueError, RuntimeError) as exc:
        return Computed("", str(exc).splitlines()[0])
    plain, kind = result.plain_value(), result.type().name().upper()
    if kind == "STRING" and plain:
        return Computed(str(plain))
    if kind == "INT":
        return Computed(str(plain))
    if kind == "BOOL":
        return Computed("true" if plain else "false")
    text = str(plain)
    if missing := re.search(r'Key not found in map : "(.*)"', text):
        return Computed("", f"the body has no {missing[1]}")
    return Computed("", text.splitlines()[0] if kind == "ERROR" and text else "it gives no text")


def evaluate(event: Mapping[str, object]) -> Holds:
    """What tells whether an expression holds for `event`; the event is converted once for all
    of them. Never raises for what an event contains."""
    try:
        activation = _make_environment("event").Activation({"event": _as_cel_takes_it(event)})
    except (ValueError, RuntimeError) as exc:
        nothing = Truth(False, str(exc).splitlines()[0])
        return lambda _: nothing

    def holds(expression: str) -> Truth:
        try:
            value = _compile_expression(expression).eval(activation)
        except (ValueError, RuntimeError) as exc:
            return Truth(False, str(exc).splitlines()[0])
        plain = value.plain_value()
        return Truth(plain) if isinstance(plain, bool) else Truth(False, _why_neither(str(plain)))

    return holds


def _why_neither(text: str) -> str:
    if missing := re.search(r'Key not found in map : "(.*)"', text):
        return f"the event has no {missing[1]}"
    return f"it is neither true nor false: {text.splitlines()[0]}"
