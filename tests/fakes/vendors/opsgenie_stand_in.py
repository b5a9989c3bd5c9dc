"""Opsgenie's alert API, and that of JSM operations below /jsm/ops/integration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import uuid4

from aiohttp import web
from pydantic import Field
from tests.fakes.vendors.vendor_stand_in import RequestShape, VendorStandIn, WrongRequest

JSM = "/jsm/ops/integration"


class AlertResponder(RequestShape):
    type: Literal["team", "user", "escalation", "schedule"]
    name: str | None = None
    id: str | None = None
    username: str | None = None


class CreateAlertRequest(RequestShape):
    message: Annotated[str, Field(min_length=1, max_length=130)]
    alias: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    description: Annotated[str, Field(max_length=15_000)] | None = None
    responders: Annotated[list[AlertResponder], Field(max_length=50)] = Field(default_factory=list)
    tags: Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=20)] = Field(
        default_factory=list
    )
    details: dict[str, str] = Field(default_factory=dict)
    entity: Annotated[str, Field(max_length=512)] | None = None
    source: Annotated[str, Field(max_length=100)] | None = None
    priority: Literal["P1", "P2", "P3", "P4", "P5"] = "P3"
    user: Annotated[str, Field(max_length=100)] | None = None
    note: Annotated[str, Field(max_length=25_000)] | None = None


class AlertActionRequest(RequestShape):
    user: Annotated[str, Field(max_length=100)] | None = None
    source: Annotated[str, Field(max_length=100)] | None = None
    note: Annotated[str, Field(max_length=25_000)] | None = None


@dataclass
class OpenAlert:
    id: str
    alias: str
    message: str
    priority: str
    count: int = 1
    notes: list[str] = field(default_factory=list)
    is_open: bool = True


@dataclass
class OpsgenieStandIn(VendorStandIn):
    """One alias, one open alert: a second create counts up and wakes nobody. Requests are taken
    at once and their outcome is asked for; `slow_requests` says how often it is not known yet."""

    key: str = "0a1b2c3d-1111-2222-3333-0a1b2c3d4e5f"
    slow_requests: int = 0
    alerts: list[OpenAlert] = field(default_factory=list)
    outcomes: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def open_alerts(self) -> list[OpenAlert]:
        return [a for a in self.alerts if a.is_open]

    def close_by_hand(self, alias: str) -> None:
        for alert in self.open_alerts:
            if alert.alias == alias:
                alert.is_open = False

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        if request.headers.get("Authorization") != f"GenieKey {self.key}":
            raise WrongRequest("Key format is not valid!", 401)
        path = request.path.removeprefix(JSM)
        if path.startswith("/v2/alerts/requests/"):
            return self._tell_outcome(path.rpartition("/")[2])
        if path == "/v2/alerts" and request.method == "POST":
            asked = self.parse(CreateAlertRequest, body)
            self.count_message()
            return self._accept("Create", self._create(asked))
        # Decoded by the server: an alias may have slashes, and then this is all of it.
        alias, _, action = path.removeprefix("/v2/alerts/").rpartition("/")
        if request.method != "POST" or action not in ("close", "notes"):
            raise WrongRequest(f"no such path {path}", 404)
        if request.query.get("identifierType") != "alias":
            raise WrongRequest("an alias needs identifierType=alias")
        asked_too = self.parse(AlertActionRequest, body)
        self.count_message()
        return self._accept(action, self._act(alias, action, asked_too.note or ""))

    def _accept(self, action: str, alert: OpenAlert | None) -> web.Response:
        request_id = str(uuid4())
        self.outcomes[request_id] = {
            "success": alert is not None,
            "isSuccess": alert is not None,
            "action": action,
            "status": "done" if alert else "Alert does not exist",
            "alertId": alert.id if alert else "",
            "alias": alert.alias if alert else "",
        }
        answer = {"result": "Request will be processed", "took": 0.1, "requestId": request_id}
        return web.json_response(answer, status=202)

    def _tell_outcome(self, request_id: str) -> web.Response:
        if self.slow_requests > 0:
            self.slow_requests -= 1
        elif outcome := self.outcomes.get(request_id):
            return web.json_response({"data": outcome, "took": 0.1, "requestId": request_id})
        raise WrongRequest("Request not found. It might not be processed, yet.", 404)

    def _create(self, asked: CreateAlertRequest) -> OpenAlert:
        alias = asked.alias or str(uuid4())
        alert = next((a for a in self.open_alerts if a.alias == alias), None)
        if alert is None:
            alert = OpenAlert(str(uuid4()), alias, asked.message, asked.priority)
            self.alerts.append(alert)
            self.wake(alias, asked.message)
            self.show(alias, asked.message)
        else:
            alert.count += 1
        return alert

    def _act(self, alias: str, action: str, note: str) -> OpenAlert | None:
        alert = next((a for a in self.open_alerts if a.alias == alias), None)
        if alert is not None:
            if note:
                alert.notes.append(note)
                self.show(alias, note)
            alert.is_open = action != "close"
        return alert

    def word_error(self, text: str, status: int) -> web.Response:
        answer = {"message": text, "took": 0.0, "requestId": str(uuid4())}
        return web.json_response(answer, status=422 if status == 400 else status)
