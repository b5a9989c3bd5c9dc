"""What the webhook server answers, as HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from nvsx.serve.webhook.http_answers import Reply


def reply_to_wrong_path(exc: web.HTTPException) -> Reply:
    reason = {404: "there is nothing at this path", 405: "this path has other methods"}
    text = reason.get(exc.status, "the request cannot be taken")
    return Reply(exc.status, {"status": "refused", "reason": text}, "refused")


def answer_probe(problems: Mapping[str, str], well: str) -> web.Response:
    if problems:
        return make_response(Reply(503, {"status": f"not {well}", "problems": dict(problems)}, ""))
    return make_response(Reply(200, {"status": well}, ""))


def make_response(reply: Reply, allow: str = "") -> web.Response:
    headers = {**reply.headers, **({"Allow": allow} if allow else {})}
    response = web.Response(
        status=reply.status,
        body=json.dumps(reply.body, ensure_ascii=False).encode(errors="replace") + b"\n",
        headers={"Content-Type": "application/json", "Cache-Control": "no-store", **headers},
    )
    if reply.close or reply.status in (400, 401, 408, 413):
        response.force_close()
    return response


async def add_common_headers(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001
    response.headers["Server"] = "nvsx"
    response.headers["X-Content-Type-Options"] = "nosniff"
