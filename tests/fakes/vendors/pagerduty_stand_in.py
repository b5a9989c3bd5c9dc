"""PagerDuty's Events API v2: `/v2/enqueue` and `/v2/change/enqueue`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field
from tests.fakes.vendors.vendor_stand_in import RequestShape, VendorStandIn, WrongRequest

MOST_BYTES = 512 * 1024
RoutingKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{32}$")]
DedupKey = Annotated[str, Field(min_length=1, max_length=255)]
Stamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$")]


class PageLink(RequestShape):
    href: str
    text: str = ""


class PageDetails(RequestShape):
    summary: Annotated[str, Field(min_length=1, max_length=1024)]
    source: Annotated[str, Field(min_length=1)]
    severity: Literal["critical", "error", "warning", "info"]
    timestamp: Stamp | None = None
    component: str | None = None
    group: str | None = None
    class_: str | None = Field(None, alias="class")
    custom_details: dict[str, Any] | None = None


class EventRequest(RequestShape):
    routing_key: RoutingKey
    event_action: Literal["trigger", "acknowledge", "resolve"]
    dedup_key: DedupKey | None = None
    payload: PageDetails | None = None
    client: str | None = None
    client_url: str | None = None
    links: list[PageLink] = Field(default_factory=list)
    images: list[dict[str, str]] = Field(default_factory=list)


class ChangeDetails(RequestShape):
    summary: Annotated[str, Field(min_length=1, max_length=1024)]
    timestamp: Stamp | None = None
    source: str | None = None
    custom_details: dict[str, Any] | None = None


class ChangeRequest(RequestShape):
    routing_key: RoutingKey
    payload: ChangeDetails
    links: list[PageLink] = Field(default_factory=list)
    images: list[dict[str, str]] = Field(default_factory=list)


@dataclass
class OpenPage:
    """One alert. `log` is every trigger's summary; `severity` is that of the last."""

    key: str
    severity: str
    log: list[str] = field(default_factory=list)
    is_open: bool = True


@dataclass
class PagerDutyStandIn(VendorStandIn):
    """One key, one alert: a trigger on an open one wakes nobody; after a resolve it opens a new."""

    key: str = "R0123456789ABCDEF0123456789ABCDE"
    other_keys: tuple[str, ...] = ()
    pages: list[OpenPage] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    #: Resolves and acknowledges that found nothing open, which PagerDuty drops in silence.
    dropped: list[str] = field(default_factory=list)

    @property
    def events_url(self) -> str:
        return self.url + "/v2/enqueue"

    @property
    def open_pages(self) -> list[OpenPage]:
        return [page for page in self.pages if page.is_open]

    def close_by_hand(self, key: str) -> None:
        """A person resolves it in PagerDuty."""
        for page in self.open_pages:
            if page.key == key:
                page.is_open = False

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        if request.method in ("GET", "HEAD") and request.path in ("/", "/v2/enqueue"):
            return web.json_response({}, status=404 if request.path == "/" else 405)
        if len(body) > MOST_BYTES:
            raise WrongRequest("the event is too large", 413)
        if request.path == "/v2/change/enqueue":
            return self._take_change(self.parse(ChangeRequest, body))
        if request.path != "/v2/enqueue" or request.method != "POST":
            raise WrongRequest(f"no such path {request.path}", 404)
        event = self.parse(EventRequest, body)
        self._check_key(event.routing_key)
        self.count_message()
        key = self._trigger(event) if event.event_action == "trigger" else self._end(event)
        answer = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(answer, status=202)

    def _check_key(self, key: str) -> None:
        if key not in (self.key, *self.other_keys):
            raise WrongRequest("Invalid routing key")

    def _take_change(self, event: ChangeRequest) -> web.Response:
        self._check_key(event.routing_key)
        self.count_message()
        self.changes.append(event.payload.summary)
        self.show("change event", event.payload.summary)
        answer = {"status": "success", "message": "Change event processed"}
        return web.json_response(answer, status=202)

    def _find_open(self, event: EventRequest) -> OpenPage | None:
        whole = self._name_page(event)
        return next((p for p in self.open_pages if p.key == whole), None)

    def _name_page(self, event: EventRequest) -> str:
        """A key belongs to the service of its routing key; the usual service's goes unnamed."""
        key = event.dedup_key or f"made-{len(self.pages)}"
        return key if event.routing_key == self.key else f"{event.routing_key}:{key}"

    def _trigger(self, event: EventRequest) -> str:
        if event.payload is None:
            raise WrongRequest("'payload' is missing or blank")
        summary = event.payload.summary
        page = self._find_open(event)
        if page is None:
            page = OpenPage(self._name_page(event), event.payload.severity)
            self.pages.append(page)
            self.wake(page.key, summary)
        page.severity = event.payload.severity
        page.log.append(summary)
        self.show(page.key, summary)
        return event.dedup_key or page.key

    def _end(self, event: EventRequest) -> str:
        if event.dedup_key is None:
            raise WrongRequest("'dedup_key' is missing or blank")
        page = self._find_open(event)
        if page is None:
            self.dropped.append(f"{event.event_action} {event.dedup_key}")
        elif event.event_action == "resolve":
            page.is_open = False
            self.show(page.key, "resolved")
        return event.dedup_key

    def word_error(self, text: str, status: int) -> web.Response:
        if status == 429:
            answer: dict[str, object] = {"status": "throttle exceeded", "message": text}
        elif status >= 500:
            answer = {"status": "internal error", "message": text}
        else:
            answer = {
                "status": "invalid event",
                "message": "Event object is invalid",
                "errors": [text],
            }
        return web.json_response(answer, status=status)
