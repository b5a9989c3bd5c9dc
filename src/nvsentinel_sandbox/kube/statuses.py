"""The errors a Kubernetes API server answers with, as exceptions and as Status objects.

The object store and the handlers raise them; the API server turns them into responses,
and the simulator may catch them. Reasons and codes are those of the Kubernetes API
conventions (https://github.com/kubernetes/community/blob/main/contributors/devel/
sig-architecture/api-conventions.md#http-status-codes). They never reach a user of nvsx:
the cluster client translates what it receives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple


class ApiError(Exception):
    """One refused request. `causes` name the fields at fault, as 422 answers do."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        group: str = "",
        kind: str = "",
        causes: tuple[dict[str, str], ...] = (),
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        details = {"name": name, "group": group, "kind": kind, "causes": list(causes)}
        if retry_after:
            details["retryAfterSeconds"] = retry_after  # type: ignore[assignment]
        self.details = {key: value for key, value in details.items() if value}

    def status(self) -> dict[str, Any]:
        """The meta/v1 Status of this error."""
        found: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            "code": self.code,
        }
        if self.details:
            found["details"] = self.details
        return found


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Expired(ApiError):
    """410: the resource version or the continue token is too old."""

    code, reason = 410, "Expired"


class TooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class Fault(NamedTuple):
    """One field at fault. `reason` is a CauseType, such as FieldValueRequired."""

    field: str
    reason: str
    message: str


def required(field: str, detail: str = "") -> Fault:
    return Fault(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def unfit(field: str, value: Any, detail: str) -> Fault:
    """A value that may not be; shown as JSON."""
    return Fault(field, "FieldValueInvalid", f"Invalid value: {_compact_json(value)}: {detail}")


def unsupported(field: str, value: Any, supported: Iterable[Any]) -> Fault:
    listed = ", ".join(_compact_json(v) for v in supported)
    told = f"Unsupported value: {_compact_json(value)}: supported values: {listed}"
    return Fault(field, "FieldValueNotSupported", told)


def forbidden(field: str, detail: str) -> Fault:
    return Fault(field, "FieldValueForbidden", f"Forbidden: {detail}")


def invalid(kind: str, group: str, name: str, faults: Iterable[Fault]) -> Invalid:
    """The 422 that lists all fields at fault, worded as a real server words it."""
    found = tuple(faults)
    listed = ", ".join(f"{f.field}: {f.message}" for f in found)
    told = listed if len(found) == 1 else f"[{listed}]"
    return Invalid(
        f'{f"{kind}.{group}" if group else kind} "{name}" is invalid: {told}',
        name=name,
        kind=kind,
        group=group,
        causes=tuple({"reason": f.reason, "message": f.message, "field": f.field} for f in found),
    )


def _compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    pass


class Unreadable(ApiError):
    """A resource version that is no number: a real server says 500 and gives no reason."""

    reason = ""


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


def success(kind: str, name: str, group: str = "", uid: str = "") -> dict[str, Any]:
    """The Status a finished delete answers with."""
    details = {"name": name, "group": group, "kind": kind, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
