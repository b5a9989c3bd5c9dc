"""The few tokens a runbook's narration may use, such as `{{elapsed}}`.

Nothing else in a runbook is templated. Rendering is a single pass: a value that looks
like a token is text, never expanded again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TOKENS = ("targetNode", "targetAlias", "elapsed", "artifactDir", "artifactCount", "runbook")

_TOKEN = re.compile(r"\{\{((?:(?!\{\{).)*?)\}\}", re.DOTALL)


def render(text: str, values: Mapping[str, str]) -> str:
    """`text` with every token replaced. A token without a value is left as written, so a
    gap shows instead of reading as a fact."""
    return _TOKEN.sub(lambda m: values.get(m.group(1).strip(), m.group(0)), text)


def find_unknown_tokens(text: str) -> tuple[str, ...]:
    """The token names in `text` that nvsx does not know, in order, each once."""
    found = (m.group(1).strip() for m in _TOKEN.finditer(text))
    return tuple(dict.fromkeys(name for name in found if name not in TOKENS))
