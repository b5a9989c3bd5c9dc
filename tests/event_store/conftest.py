"""One PostgreSQL and one MongoDB for all tests of the feeds, an empty database for each."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.event_store import servers, worlds
from tests.event_store.stored import NOW

# pymongo leaves the socket of a connection that failed to the garbage collector.
IGNORE_LOST_SOCKETS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True, scope="module")
def _collected() -> Iterator[None]:
    """Have such sockets found while the mark of their own module still counts."""
    yield
    gc.collect()


class StillClock:
    """A clock that stands until a test moves it. Its sleeps take no time."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> StillClock:
    """A clock that stands at the time the tests began."""
    return StillClock()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of a CA, a server, a client and another CA, by name."""
    return servers.make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def postgres_server(certificates: dict[str, Path]) -> Iterator[servers.Postgres]:
    """PostgreSQL, for all tests."""
    with servers.postgres(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[servers.Server]:
    """MongoDB, for all tests."""
    with servers.mongo() as server:
        yield server


@pytest.fixture
async def postgres(
    postgres_server: servers.Postgres, clock: StillClock, tmp_path: Path
) -> AsyncIterator[worlds.PostgresWorld]:
    """A database with NVSentinel's tables, and a feed on it."""
    async with worlds.PostgresWorld.open(postgres_server, clock, tmp_path) as world:
        yield world


@pytest.fixture
async def mongo(
    mongo_server: servers.Server, clock: StillClock, tmp_path: Path
) -> AsyncIterator[worlds.MongoWorld]:
    """A database with NVSentinel's collection, and a feed on it."""
    async with worlds.MongoWorld.open(mongo_server, clock, tmp_path) as world:
        yield world
