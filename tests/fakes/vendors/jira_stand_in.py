"""Jira: Cloud (v3, ADF documents, JQL search that lags) and Server or Data Center (v2, texts)."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field
from tests.fakes.vendors.vendor_stand_in import RequestShape, VendorStandIn, WrongRequest

LONGEST = 32_767
STATUSES = {
    "To Do": ("1", "new"),
    "In Progress": ("3", "indeterminate"),
    "Done": ("5", "done"),
}
FIELDS: list[dict[str, Any]] = [
    {"id": "summary", "name": "Summary", "schema": {"type": "string"}},
    {"id": "description", "name": "Description", "schema": {"type": "string"}},
    {"id": "project", "name": "Project", "schema": {"type": "project"}},
    {"id": "issuetype", "name": "Issue Type", "schema": {"type": "issuetype"}},
    {"id": "labels", "name": "Labels", "schema": {"type": "array", "items": "string"}},
    {"id": "priority", "name": "Priority", "schema": {"type": "priority"}},
    {"id": "components", "name": "Components", "schema": {"type": "array", "items": "component"}},
    {"id": "customfield_10010", "name": "Rack", "schema": {"type": "string"}},
    {"id": "customfield_10011", "name": "Impact", "schema": {"type": "option"}},
    {"id": "customfield_10012", "name": "GPUs", "schema": {"type": "number"}},
]
_JQL = re.compile(
    r'^project = "(?P<project>[^"]+)" AND labels = "(?P<label>[^"]+)"( ORDER BY .+)?$'
)

BLOCKS = {
    "doc": {"paragraph", "heading", "bulletList", "table", "rule", "codeBlock", "panel"},
    "paragraph": {"text", "hardBreak"},
    "heading": {"text"},
    "codeBlock": {"text"},
    "bulletList": {"listItem"},
    "listItem": {"paragraph"},
    "table": {"tableRow"},
    "tableRow": {"tableHeader", "tableCell"},
    "tableHeader": {"paragraph"},
    "tableCell": {"paragraph"},
    "panel": {"paragraph", "heading", "bulletList"},
}


def words_of_document(node: Any) -> str:
    """The text of an ADF document. Raises WrongRequest for what Jira would not take."""
    if not isinstance(node, dict):
        raise WrongRequest("Operation value must be an Atlassian Document (see the ADF)")
    kind = node.get("type")
    if kind == "text":
        if not isinstance(node.get("text"), str) or not node["text"]:
            raise WrongRequest("INVALID_INPUT: an empty text node")
        return str(node["text"])
    if kind in ("hardBreak", "rule"):
        return "\n"
    if kind not in BLOCKS or (kind == "doc" and node.get("version") != 1):
        raise WrongRequest(f"INVALID_INPUT: {kind}")
    if kind == "heading" and node.get("attrs", {}).get("level") not in range(1, 7):
        raise WrongRequest("INVALID_INPUT: a heading without a level")
    children = node.get("content", [])
    for child in children:
        if child.get("type") not in BLOCKS[kind]:
            raise WrongRequest(f"INVALID_INPUT: {child.get('type')} within {kind}")
    inline = kind in ("paragraph", "heading", "codeBlock")
    return ("" if inline else "\n").join(words_of_document(child) for child in children)


class CreateIssueRequest(RequestShape):
    fields: dict[str, Any]


class CommentRequest(RequestShape):
    body: Any


class WithId(RequestShape):
    id: str


class TransitionRequest(RequestShape):
    transition: WithId


class IssueLinkType(RequestShape):
    name: str


class IssueRef(RequestShape):
    key: str


class IssueLinkRequest(RequestShape):
    type: IssueLinkType
    inwardIssue: IssueRef  # noqa: N815 - Jira's name
    outwardIssue: IssueRef  # noqa: N815 - Jira's name


class SearchRequest(RequestShape):
    jql: str
    maxResults: Annotated[int, Field(ge=1, le=100)] = 50  # noqa: N815 - Jira's name
    fields: list[str] = Field(default_factory=list)


@dataclass
class JiraIssue:
    key: str
    fields: dict[str, Any]
    summary: str
    words: str
    status: str = "To Do"
    comments: list[str] = field(default_factory=list)
    raw_comments: list[Any] = field(default_factory=list)


@dataclass
class JiraStandIn(VendorStandIn):
    """One project, INFRA. `search_lag`: so many searches do not see a new issue yet. What burnt an
    issue number is counted in `number`. `from_done`: transitions out of Done, by name."""

    cloud: bool = True
    user: str = "oncall@acme.example"
    token: str = "ATATT3xFfGF0abcdefghij"
    project: str = "INFRA"
    search_lag: int = 0
    from_done: tuple[str, ...] = ("To Do", "In Progress")
    number: int = 0
    issues: dict[str, JiraIssue] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)

    def delete_issue(self, key: str) -> None:
        del self.issues[key]

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        root, version = ("/rest/api/3", 3) if self.cloud else ("/rest/api/2", 2)
        if request.path == "/rest/api/2/serverInfo":
            return web.json_response(
                {
                    "baseUrl": self.url,
                    "version": "9.12.0",
                    "deploymentType": "Cloud" if self.cloud else "Server",
                }
            )
        self._check_account(request)
        if not request.path.startswith(root + "/"):
            raise WrongRequest(f"no such path {request.path}", 404)
        path, method = request.path.removeprefix(root), request.method
        if path == "/myself":
            return web.json_response({"displayName": "nvsx bot", "name": "nvsx"})
        if path == f"/project/{self.project}":
            return web.json_response({"key": self.project, "name": "Infrastructure"})
        if path == "/field":
            return web.json_response(FIELDS)
        if path == ("/search/jql" if self.cloud else "/search") and method == "POST":
            return self._search(self.parse(SearchRequest, body))
        if path == "/issue" and method == "POST":
            return self._create(self.parse(CreateIssueRequest, body), version)
        if path == "/issueLink" and method == "POST":
            return self._link(self.parse(IssueLinkRequest, body))
        if found := re.fullmatch(r"/issue/([A-Z]+-\d+)(/comment|/transitions)?", path):
            return self._handle_issue(request, body, found[1], found[2] or "")
        raise WrongRequest(f"no such path {path}", 404)

    def _check_account(self, request: web.Request) -> None:
        basic = base64.b64encode(f"{self.user}:{self.token}".encode()).decode()
        wanted = [f"Basic {basic}"] if self.cloud else [f"Basic {basic}", f"Bearer {self.token}"]
        if request.headers.get("Authorization") not in wanted:
            raise WrongRequest("Client must be authenticated to access this resource.", 401)

    def _search(self, asked: SearchRequest) -> web.Response:
        found = _JQL.match(asked.jql)
        if not found:
            raise WrongRequest(f"Error in the JQL Query: {asked.jql}")
        matching = [i for i in self.issues.values() if found["label"] in i.fields["labels"]]
        if matching and self.search_lag > 0:
            self.search_lag -= 1
            matching = []
        shown = [{"id": i.key, "key": i.key, "fields": self._fields_of(i)} for i in matching]
        return web.json_response({"issues": shown[: asked.maxResults], "isLast": True})

    def _fields_of(self, issue: JiraIssue) -> dict[str, Any]:
        number, category = STATUSES[issue.status]
        status = {"name": issue.status, "id": number, "statusCategory": {"key": category}}
        return {"status": status, "summary": issue.summary, "labels": issue.fields["labels"]}

    def _words(self, value: Any, version: int) -> str:
        if version == 2 and not isinstance(value, str):
            raise WrongRequest("Operation value must be a string")
        words = value if version == 2 else words_of_document(value)
        if len(words) > LONGEST:
            raise WrongRequest(f"The entered text is too long. It exceeds {LONGEST} characters.")
        return str(words)

    def _create(self, asked: CreateIssueRequest, version: int) -> web.Response:
        self.number += 1  # a refused create burns a number too
        fields = asked.fields
        known = {one["id"] for one in FIELDS}
        for name in fields:
            if name not in known:
                raise WrongRequest(f"Field '{name}' cannot be set. It is not on the screen.")
        summary = fields.get("summary", "")
        if not summary or len(summary) > 255 or "\n" in summary:
            raise WrongRequest("You must specify a summary of at most 255 characters, one line.")
        if fields.get("project") != {"key": self.project}:
            raise WrongRequest("valid project is required")
        if fields.get("issuetype", {}).get("name") not in ("Task", "Incident"):
            raise WrongRequest("The issue type selected is invalid.")
        for label in fields.get("labels", []):
            if not label or len(label) > 255 or re.search(r"\s", label):
                raise WrongRequest(f"The label '{label}' contains spaces which is invalid.")
        _check_values(fields)
        self.count_message()
        key = f"{self.project}-{self.number}"
        words = self._words(fields.get("description", ""), version)
        self.issues[key] = JiraIssue(key, {"labels": [], **fields}, summary, words)
        self.show(key, f"{summary}\n{words}")
        answer = {"id": str(self.number), "key": key, "self": f"{self.url}/rest/api/2/issue/{key}"}
        return web.json_response(answer, status=201)

    def _link(self, asked: IssueLinkRequest) -> web.Response:
        if asked.inwardIssue.key not in self.issues or asked.outwardIssue.key not in self.issues:
            raise WrongRequest("No issue could be found with that key", 404)
        self.links.append((asked.inwardIssue.key, asked.outwardIssue.key))
        return web.Response(status=201)

    def _handle_issue(self, request: web.Request, body: bytes, key: str, what: str) -> web.Response:
        issue = self.issues.get(key)
        if issue is None:
            raise WrongRequest("Issue does not exist or you do not have permission to see it.", 404)
        if what == "":
            return web.json_response({"key": key, "fields": self._fields_of(issue)})
        if what == "/comment":
            if request.method == "GET":
                return self._list_comments(issue, request.query.get("orderBy", "created"))
            asked = self.parse(CommentRequest, body)
            words = self._words(asked.body, 3 if self.cloud else 2)
            self.count_message()
            issue.comments.append(words)
            issue.raw_comments.append(asked.body)
            self.show(key, words)
            return web.json_response({"id": str(10000 + len(issue.comments))}, status=201)
        names = self.from_done if issue.status == "Done" else tuple(STATUSES)
        if request.method == "GET":
            shown = [_describe_transition(name) for name in names if name != issue.status]
            return web.json_response({"transitions": shown})
        wanted = self.parse(TransitionRequest, body).transition.id
        to = next((n for n in names if _describe_transition(n)["id"] == wanted), None)
        if to is None:
            raise WrongRequest(f"It is not possible to perform transition {wanted}")
        issue.status = to
        self.show(key, f"→ {to}")
        return web.Response(status=204)

    def _list_comments(self, issue: JiraIssue, order: str) -> web.Response:
        shown = [{"id": str(n), "body": raw} for n, raw in enumerate(issue.raw_comments)]
        return web.json_response({"comments": shown[::-1] if order == "-created" else shown})

    def word_error(self, text: str, status: int) -> web.Response:
        answer = {"errorMessages": [text], "errors": {}}
        response = web.json_response(answer, status=status)
        if status == 429:
            response.headers["RateLimit-Reason"] = "jira-burst-based"
        return response


def _describe_transition(name: str) -> dict[str, Any]:
    number, category = STATUSES[name]
    to = {"name": name, "statusCategory": {"key": category}}
    return {"id": f"1{number}", "name": f"Move to {name}", "to": to}


def _check_values(fields: dict[str, Any]) -> None:
    """Each field in the form that its type takes."""
    forms: dict[str, Any] = {
        "components": lambda v: all(set(one) == {"name"} for one in v),
        "priority": lambda v: set(v) == {"name"},
        "customfield_10010": lambda v: isinstance(v, str),
        "customfield_10011": lambda v: set(v) == {"value"},
        "customfield_10012": lambda v: isinstance(v, int | float),
    }
    for name, is_right in forms.items():
        if name in fields and not is_right(fields[name]):
            raise WrongRequest(f"{name}: data was not valid: {json.dumps(fields[name])}")
