"""The conversation with Claude, by the official SDK: one structured answer a request.

Only here is `anthropic` imported, and only when a page is converted with it. Every way it
can fail becomes one message with a next step; nothing of a request is logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nvsx.convert.usage import Usage
from nvsx.core.errors import NotReady, NvsxError

if TYPE_CHECKING:
    import anthropic

DEFAULT_MODEL = "claude-opus-4-7"
MAX_TOKENS = 64_000
RETRIES = 4
"""How often a request is repeated when the service is overloaded, before and within a stream."""
TOOL = "write_runbook"

_PASSING = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})

Progress = Callable[[str], None]


class ModelError(NvsxError):
    """The model gave no usable answer."""


class ModelBusy(ModelError):
    """Overload, rate limit or network: the same call can succeed later."""

    retryable: ClassVar[bool] = True


class HookText(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: str = Field(pattern=r"^on-[a-z]+(-overdue)?\.sh$", description="on-detect.sh")
    script: str = Field(min_length=1, description="The whole bash script.")


class ModelAnswer(BaseModel):
    """What the model is asked for."""

    model_config = ConfigDict(extra="forbid")
    runbook: str = Field(min_length=1, description="The whole YAML file.")
    hooks: list[HookText] = Field(min_length=1)
    remarks: str = Field(description="What the reviewer should know; may be empty.")


@dataclass(slots=True)
class ModelReply:
    """One answer as it came: `answer` is None when it had not the form asked for."""

    content: list[dict[str, Any]]
    answer: ModelAnswer | None
    tool_use_id: str
    wrong: str = ""


@dataclass(slots=True)
class ConversionModel:
    """A model one can ask. Made by `connect`."""

    client: anthropic.Anthropic
    name: str
    system: str
    progress: Progress
    sleep: Callable[[float], None]
    usage: Usage
    messages: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, text: str) -> ModelReply:
        """The first request of a conversation."""
        cached = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
        self.messages = [{"role": "user", "content": [cached]}]
        return self._read_reply()

    def again(self, reply: ModelReply, findings: str) -> ModelReply:
        """Send back what is wrong with a reply."""
        block: dict[str, Any] = {"type": "text", "text": findings}
        if reply.tool_use_id:
            block = {
                "type": "tool_result",
                "tool_use_id": reply.tool_use_id,
                "is_error": True,
                "content": findings,
            }
        self.messages += [
            {"role": "assistant", "content": reply.content},
            {"role": "user", "content": [block]},
        ]
        return self._read_reply()

    def _read_reply(self) -> ModelReply:
        import anthropic

        for attempt in range(RETRIES + 1):
            try:
                return _parse_message(self._stream_message())
            except anthropic.APIError as exc:
                if not _may_pass_later(exc) or attempt == RETRIES:
                    raise _translate_error(exc, self.name, str(self.client.base_url)) from None
            except ModelError:
                raise
            except Exception as exc:
                # A torn stream comes through unwrapped: as a network error, or as half JSON.
                torn = isinstance(exc, ValueError)
                if not torn and not type(exc).__module__.startswith(("httpx", "httpcore")):
                    raise
                if attempt == RETRIES:
                    raise _say_unreachable(str(self.client.base_url)) from None
            self.progress("the answer was cut off; asking again")
            self.sleep(2.0**attempt)
        raise ModelBusy("the model did not answer")  # pragma: no cover - the loop returns or raises

    def _stream_message(self) -> Any:
        """One request to its end, with progress as it comes."""
        begun, told = time.monotonic(), 0.0
        size = 0
        forced = self.name.startswith(("claude-opus-4", "claude-sonnet-4", "claude-haiku-4"))
        choice = {"type": "tool", "name": TOOL} if forced else {"type": "auto"}
        request: dict[str, Any] = {
            "model": self.name,
            "max_tokens": MAX_TOKENS,
            "system": [
                {"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}
            ],
            "messages": self.messages,
            "tools": [
                {
                    "name": TOOL,
                    "description": "Hand over the converted runbook.",
                    "input_schema": _build_schema(),
                }
            ],
            "tool_choice": choice,
        }
        self.progress(f"asking {self.name}")
        with self.client.messages.stream(**request) as stream:
            for event in stream:
                if event.type in ("input_json", "text"):
                    size += len(event.partial_json if event.type == "input_json" else event.text)
                now = time.monotonic()
                if now - told > 1.0:
                    told = now
                    self.progress(f"{self.name}: {size:,} characters in {now - begun:.0f} s")
            message = stream.get_final_message()
        self.usage.add(message.usage)
        return message


def connect(env: Mapping[str, str], system: str, progress: Progress) -> ConversionModel:
    """A model to ask. Raises NotReady without a key or the SDK."""
    key = env.get("ANTHROPIC_API_KEY", "").strip()
    if not key:
        raise NotReady(
            "ANTHROPIC_API_KEY is not set, so no model can be asked",
            "export it, or convert by rules: nvsx convert --offline",
        )
    try:
        import anthropic
    except ImportError:
        raise NotReady(
            "the Claude client is not installed",
            "pip install 'nvsx[convert]', or convert by rules: nvsx convert --offline",
        ) from None
    name = env.get("NVSX_CONVERT_MODEL", "").strip() or DEFAULT_MODEL
    client = anthropic.Anthropic(
        api_key=key,
        base_url=env.get("ANTHROPIC_BASE_URL") or None,
        max_retries=RETRIES,
        timeout=600.0,
    )
    return ConversionModel(client, name, system, progress, time.sleep, Usage(name))


def _build_schema() -> dict[str, Any]:
    """The answer's JSON Schema, without references."""
    schema = ModelAnswer.model_json_schema()
    definitions = schema.pop("$defs", {})
    schema["properties"]["hooks"]["items"] = definitions["HookText"]
    return schema


def _parse_message(message: Any) -> ModelReply:
    """The answer in a message. Raises ModelError when there can be none."""
    stop = message.stop_reason
    if stop == "refusal":
        raise ModelError(
            "the model refused to convert this page",
            "look at the page for what it may object to, or use --offline",
        )
    if stop in ("max_tokens", "model_context_window_exceeded"):
        raise ModelError(
            "the model's answer was cut off: the page is too long for one answer",
            "split the page into several runbooks, or use --offline, which has no limit",
        )
    content = [_strip_block(block) for block in message.content]
    used = next((b for b in message.content if b.type == "tool_use" and b.name == TOOL), None)
    if used is None:
        return ModelReply(
            content or [_name_nothing_said()], None, "", f"answer by calling the tool {TOOL}"
        )
    try:
        return ModelReply(content, ModelAnswer.model_validate(used.input), used.id)
    except ValidationError as exc:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or TOOL}: {e['msg']}" for e in exc.errors()[:20]
        )
        return ModelReply(content, None, used.id, f"the tool's input is not as asked for: {wrong}")


def _strip_block(block: Any) -> dict[str, Any]:
    """A block of an answer as it goes back into the conversation."""
    data: dict[str, Any] = block.model_dump(exclude_none=True)
    keep = {
        "text": ("type", "text"),
        "tool_use": ("type", "id", "name", "input"),
    }.get(block.type)
    return {k: data[k] for k in keep if k in data} if keep else data


def _name_nothing_said() -> dict[str, Any]:
    return {"type": "text", "text": "(no answer)"}


def _error_type(exc: Any) -> str:
    body = exc.body if isinstance(exc.body, dict) else {}
    error = body.get("error")
    return str(error.get("type", "")) if isinstance(error, dict) else ""


def _may_pass_later(exc: Any) -> bool:
    """An error event inside a stream that has begun; the SDK repeats all that comes before."""
    return getattr(exc, "status_code", 0) == 200 and _error_type(exc) in _PASSING


def _translate_error(exc: Any, model: str, url: str) -> NvsxError:
    """One clear message for each way the service says no."""
    import anthropic

    said = str(exc.message).split("\n")[0][:300]
    offline = "or convert by rules: nvsx convert --offline"
    if isinstance(exc, anthropic.APITimeoutError | anthropic.APIConnectionError):
        return _say_unreachable(url)
    status = getattr(exc, "status_code", 0)
    kind = _error_type(exc)
    if status == 401:
        return NotReady("the service does not know this ANTHROPIC_API_KEY", f"check it, {offline}")
    if status == 403:
        return NotReady(
            f"this key may not use {model}: {said}", f"set NVSX_CONVERT_MODEL, {offline}"
        )
    if status == 404:
        return NotReady(f"there is no model {model}", f"check NVSX_CONVERT_MODEL, {offline}")
    if status == 429 or kind == "rate_limit_error":
        wait = exc.response.headers.get("retry-after", "") if hasattr(exc, "response") else ""
        when = f"in {wait} seconds" if wait.isdigit() else "later"
        return ModelBusy("the key's rate limit is used up", f"try again {when}, {offline}")
    if status == 529 or kind == "overloaded_error":
        return ModelBusy("the service is overloaded", f"try again later, {offline}")
    if status >= 500 or kind == "api_error":
        return ModelBusy(f"the service failed ({status}): {said}", f"try again later, {offline}")
    if status == 413 or "too long" in said:
        return ModelError("the page is too long for the model", f"split it, {offline}")
    return ModelError(f"the service refused the request: {said}", offline[3:])


def _say_unreachable(url: str) -> ModelBusy:
    return ModelBusy(
        f"{url} cannot be reached",
        "check the network and ANTHROPIC_BASE_URL, or convert by rules: nvsx convert --offline",
    )


def findings_sentence(lines: Sequence[str]) -> str:
    """What goes back to the model: every finding, one a line."""
    return "\n".join(
        [
            "A program checked the runbook and found this. Correct all of it and call the tool",
            "again with the complete runbook and all hooks:",
            *lines,
        ]
    )
