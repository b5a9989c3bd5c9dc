"""Jira: Cloud (v3, documents) and Server or Data Center (v2, texts), told apart by itself.

Jira has no idempotency key, and a refused create burns an issue number. So a ticket is looked for
by its label before it is created, and a comment that may have been made is looked for by its last
line.

    03:12:00  create; Jira takes it, the answer is lost
    03:12:01  search by label: nothing yet, since Cloud's search lags behind; once more 5 s later:
              INFRA-17, so nothing is created
    03:40:00  the incident is over: comment, then the transition that ends in done
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret, show_last
from nvsx.notify.targets.http_target import HttpTarget
from nvsx.notify.targets.jira_fields import (
    comment_lines,
    description_lines,
    fill_fields,
    footer_of,
    label_of,
    read_words,
    summary_of,
    write_body,
)
from nvsx.notify.targets.vendor_http import HttpAnswer, VendorHttp

SEARCH_LAG = 5.0
"""Seconds. Cloud's search finds a new issue only some seconds later; after a create that may have
been taken we look a second time."""
LAST_COMMENTS = 50


class Jira(HttpTarget):
    """`user` is None for a personal token of Server or Data Center."""

    kind = "jira"

    def __init__(
        self,
        name: str,
        url: str,
        *,
        user: TargetSecret | None,
        token: TargetSecret,
        project: str,
        issue_type: str = "Task",
        fields: Mapping[str, str | Sequence[str]] = {},
        close_transition: str | None = None,
    ) -> None:
        super().__init__(name, VendorHttp(name, [token]))
        self._url = url.rstrip("/")
        self._user = user
        self._token = token
        self._project = project
        self._issue_type = issue_type
        self._fields = dict(fields)
        self._close_transition = close_transition
        self._cloud: bool | None = None
        self._known_fields: Sequence[Mapping[str, Any]] | None = None

    async def deliver(self, order: Order) -> Receipt:
        if order.action == "open ticket":
            return await self._open_ticket(order)
        if order.action not in ("comment ticket", "close ticket"):
            raise self.refuse_action(order, "tickets")
        if order.action == "close ticket":
            return await self._close_ticket(order)
        if order.reopen:
            return await self._reopen_ticket(order)
        repeat = await self._write_comment(order, order.ref, look_first=order.unsure)
        return self._make_receipt(order, order.ref, note="was there already" if repeat else "")

    # --- what an order comes to -----------------------------------------------------------

    async def _open_ticket(self, order: Order) -> Receipt:
        found = await self._find_ticket(order)
        if found:
            return self._make_receipt(order, found, note="was there already")
        key, note = await self._create_ticket(order)
        return self._make_receipt(order, key, note)

    async def _close_ticket(self, order: Order) -> Receipt:
        """Comment, then close. The comment is always looked for first: a try may have ended
        between the two."""
        await self._write_comment(order, order.ref, look_first=True)
        if await self._is_done(order.ref):
            return self._make_receipt(order, order.ref, note="was closed already")
        await self._take_transition(order.ref, to_done=True)
        return self._make_receipt(order, order.ref)

    async def _reopen_ticket(self, order: Order) -> Receipt:
        """A closed ticket is opened again; where its workflow has no way back, a new one follows
        it, linked."""
        if await self._is_done(order.ref) and not await self._take_transition(
            order.ref, to_done=False
        ):
            found = await self._find_ticket(order, besides=order.ref)
            new = found or (await self._create_ticket(order))[0]
            await self._link_tickets(order.ref, new)
            await self._write_comment(order, order.ref, look_first=True)
            return self._make_receipt(order, new, note=f"follows {order.ref}, which stays closed")
        await self._write_comment(order, order.ref, look_first=order.unsure)
        return self._make_receipt(order, order.ref, note="open again")

    def _make_receipt(self, order: Order, key: str, note: str = "") -> Receipt:
        lines = description_lines(order) if order.action == "open ticket" else comment_lines(order)
        text = "\n".join([summary_of(order), *lines] if order.action == "open ticket" else lines)
        link = f"{self._url}/browse/{key}"
        link = "" if "/ex/jira/" in self._url else link
        account = self._user.read() if self._user else show_last(self._token.read())
        return self.make_receipt(order, text, ref=key, link=link, account=account, note=note)

    # --- Jira's calls ---------------------------------------------------------------------

    async def _find_ticket(self, order: Order, besides: str = "") -> str:
        """The key of the incident's ticket, "" for none."""
        label = label_of(order).replace("\\", "\\\\").replace('"', '\\"')
        jql = f'project = "{self._project}" AND labels = "{label}" ORDER BY created DESC'
        path = "search/jql" if await self._is_cloud() else "search"
        asked = {"jql": jql, "maxResults": 2, "fields": ["status"]}
        for look in range(2 if order.unsure else 1):
            if look:
                await asyncio.sleep(SEARCH_LAG)
            answer = await self._ask_jira("POST", path, asked)
            if not answer.is_ok:
                raise self.http.refuse(answer, "the search for the incident's ticket")
            keys = [str(issue["key"]) for issue in answer.json.get("issues", ())]
            if keys := [key for key in keys if key != besides]:
                return keys[0]
        return ""

    async def _create_ticket(self, order: Order) -> tuple[str, str]:
        """The new ticket, and what it had to do without."""
        cloud = await self._is_cloud()
        fields: dict[str, Any] = {
            "project": {"key": self._project},
            "issuetype": {"name": self._issue_type},
            "summary": summary_of(order),
            "description": write_body(description_lines(order), cloud=cloud),
        }
        wanted = {**self._fields, **order.fields}
        more, unknown = fill_fields(wanted, await self._read_fields() if wanted else ())
        labels = more.pop("labels", [])
        fields |= {"labels": ["nvsx", label_of(order), *labels], **more}
        answer = await self._ask_jira("POST", "issue", {"fields": fields})
        if not answer.is_ok:
            raise self.http.refuse(answer, "the ticket", "see project, issueType and fields")
        note = f"without {', '.join(unknown)}: this Jira has no such field" if unknown else ""
        return str(answer.json["key"]), note

    async def _read_fields(self) -> Sequence[Mapping[str, Any]]:
        if self._known_fields is None:
            answer = await self._ask_jira("GET", "field")
            if not answer.is_ok:
                raise self.http.refuse(answer, "the list of fields")
            self._known_fields = answer.json
        return self._known_fields

    async def _write_comment(self, order: Order, key: str, *, look_first: bool) -> bool:
        """Comment on `key`; True when the comment was there already."""
        path = f"issue/{quote(key)}/comment"
        if look_first:
            answer = await self._ask_jira(
                "GET", f"{path}?orderBy=-created&maxResults={LAST_COMMENTS}"
            )
            self._require_ok(answer, key, "the look at its comments")
            mark = footer_of(order)
            comments = answer.json.get("comments", ())
            if any(read_words(c.get("body")).rstrip().endswith(mark) for c in comments):
                return True
        body = write_body(comment_lines(order), cloud=await self._is_cloud(), keep_last=True)
        answer = await self._ask_jira("POST", path, {"body": body})
        self._require_ok(answer, key, "the comment")
        return False

    async def _is_done(self, key: str) -> bool:
        answer = await self._ask_jira("GET", f"issue/{quote(key)}?fields=status")
        self._require_ok(answer, key, "the look at it")
        return _category_of(answer.json["fields"]["status"]) == "done"

    async def _take_transition(self, key: str, *, to_done: bool) -> bool:
        """Take the transition that closes or opens the ticket; False when none opens it."""
        path = f"issue/{quote(key)}/transitions"
        answer = await self._ask_jira("GET", path)
        self._require_ok(answer, key, "the look at its transitions")
        offered = answer.json.get("transitions", ())
        named = [t for t in offered if to_done and _is_called(t, self._close_transition)]
        fitting = [t for t in offered if (_category_of(t.get("to") or {}) == "done") == to_done]
        chosen = named if self._close_transition and to_done else fitting
        if not chosen:
            if not to_done:
                return False
            names = ", ".join(str(t.get("name")) for t in offered) or "none"
            wanted = self._close_transition or "one that ends in done"
            said = f"{self.name}: {key} has no transition to close it ({wanted})"
            raise DeliveryRefused(said, f"it offers: {names}; see closeTransition")
        answer = await self._ask_jira("POST", path, {"transition": {"id": str(chosen[0]["id"])}})
        self._require_ok(answer, key, f"the transition {chosen[0].get('name')}")
        return True

    async def _link_tickets(self, old: str, new: str) -> None:
        """Best said, not needed: a site may have no such link type."""
        asked = {
            "type": {"name": "Relates"},
            "inwardIssue": {"key": old},
            "outwardIssue": {"key": new},
        }
        await self._ask_jira("POST", "issueLink", asked)

    def _require_ok(self, answer: HttpAnswer, key: str, what: str) -> None:
        if not answer.is_ok:
            raise self.http.refuse(answer, f"{what} ({key})", gone=answer.status in (404, 410))

    async def _is_cloud(self) -> bool:
        if self._cloud is None:
            answer = await self._ask_jira("GET", "serverInfo", version=2)
            if not answer.is_ok:
                raise self.http.refuse(answer, "serverInfo", "is url the address of a Jira?")
            said = answer.json if isinstance(answer.json, dict) else {}
            self._cloud = said.get("deploymentType") == "Cloud"
        return self._cloud

    async def _ask_jira(
        self, method: str, path: str, body: Any = None, *, version: int = 0
    ) -> HttpAnswer:
        token = self._token.read()
        if self._user is None:
            account = f"Bearer {token}"
        else:
            pair = f"{self._user.read()}:{token}".encode()
            account = f"Basic {base64.b64encode(pair).decode()}"
        if not version:
            version = 3 if await self._is_cloud() else 2
        url = f"{self._url}/rest/api/{version}/{path}"
        headers = {"Authorization": account}
        return await self.http.request(method, url, headers=headers, json_body=body)

    async def check(self) -> str:
        """Who we are, and that we may see the project. That we may create only a create tells."""
        cloud = await self._is_cloud()
        answer = await self._ask_jira("GET", "myself")
        if not answer.is_ok:
            raise self.http.refuse(answer, "the account")
        me = answer.json.get("displayName") or answer.json.get("name")
        answer = await self._ask_jira("GET", f"project/{quote(self._project)}")
        if not answer.is_ok:
            raise self.http.refuse(answer, f"project {self._project}", "see project and its rights")
        where = "Cloud" if cloud else "Server"
        host = urlsplit(self._url).hostname
        return f"{me} at {host} ({where}) sees project {self._project}; creating was not tried"


def _category_of(status: Mapping[str, Any]) -> str:
    return str((status.get("statusCategory") or {}).get("key", ""))


def _is_called(transition: Mapping[str, Any], name: str | None) -> bool:
    return name is not None and str(transition.get("name", "")).lower() == name.lower()
