from __future__ import annotations

from email.utils import formatdate

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nvsx.cluster.cluster_clock import Skew
from nvsx.cluster.gateway import DirectGateway

NOW = 1_767_600_000.0


def _skew(*answers: tuple[float, float, float]) -> float:
    skew = Skew()
    for said, sent, received in answers:
        skew.heard(formatdate(said, usegmt=True), sent, received)
    return skew.ahead


@pytest.mark.parametrize(
    ("answers", "ahead"),
    [
        ([], 0.0),
        ([(NOW, NOW, NOW + 0.1)], 0.0),
        ([(NOW + 2, NOW, NOW + 0.9)], 0.0),  # little
        ([(NOW + 90, NOW, NOW + 0.5)], 89.5),  # at least
        ([(NOW - 90, NOW, NOW + 0.5)], -89.0),  # cut to the second: perhaps a second later
        ([(NOW + 90, NOW, NOW + 30.0), (NOW + 100, NOW + 10, NOW + 10.1)], 89.9),  # a slow one
        ([(NOW + 90, NOW, NOW), (NOW + 1, NOW + 1, NOW + 1)], 0.0),  # it was set right
    ],
)
def test_dates_bound_the_other_clock(
    answers: list[tuple[float, float, float]], ahead: float
) -> None:
    """The difference is what is certain after all answers; a date that is none says nothing."""
    assert _skew(*answers) == pytest.approx(ahead)
    skew = Skew()
    skew.heard("yesterday", NOW, NOW)
    assert skew.ahead == 0.0


async def test_a_gateway_hears_the_clock_of_who_answers() -> None:
    """An API server that is an hour behind is known to be so after one answer."""

    async def answer(_: web.Request) -> web.Response:
        import time

        return web.json_response({}, headers={"Date": formatdate(time.time() - 3600, usegmt=True)})

    app = web.Application()
    app.router.add_get("/version", answer)
    async with TestServer(app) as server:
        gateway = DirectGateway(str(server.make_url("/")), "token")
        await gateway.start()
        try:
            await gateway.get("/version")
            assert -3600 <= gateway.clock_ahead() < -3500
        finally:
            await gateway.close()
