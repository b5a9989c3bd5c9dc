from pathlib import Path

import pytest

from nvsx.core.errors import StoreError
from nvsx.core.ports import Artifacts
from nvsx.store import file_artifacts


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Artifacts in a folder that is not there yet."""
    return file_artifacts(tmp_path / "runs" / "r-1")


async def test_write(artifacts: Artifacts) -> None:
    """A file is written with its bytes, private, and its relative path comes back."""
    assert await artifacts.write("evidence/./quarantine/node.json", b"{}") == (
        "evidence/quarantine/node.json"
    )
    written = artifacts.folder / "evidence" / "quarantine" / "node.json"
    assert written.read_bytes() == b"{}"
    assert written.stat().st_mode & 0o777 == 0o600
    assert artifacts.folder.stat().st_mode & 0o777 == 0o700


async def test_replace(artifacts: Artifacts) -> None:
    """Writing again replaces the file and leaves nothing beside it."""
    await artifacts.write("a.txt", b"one")
    await artifacts.write("a.txt", b"two")
    assert [(p.name, p.read_bytes()) for p in artifacts.folder.iterdir()] == [("a.txt", b"two")]


@pytest.mark.parametrize("name", ["", ".", "../x", "a/../../x", "/etc/x", "a\\..\\x", "a\0b"])
async def test_names_stay_inside(artifacts: Artifacts, name: str) -> None:
    """A name that would leave the folder is refused and writes nothing."""
    with pytest.raises(StoreError, match="leaves the folder"):
        await artifacts.write(name, b"x")
    assert not artifacts.folder.exists()


async def test_symbolic_links_stay_inside(artifacts: Artifacts, tmp_path: Path) -> None:
    """A link inside the folder does not lead a write out of it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    artifacts.folder.mkdir(parents=True)
    (artifacts.folder / "link").symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link"):
        await artifacts.write("link/x", b"x")
    assert list(outside.iterdir()) == []


async def test_cannot_write(tmp_path: Path) -> None:
    """A folder that cannot be made is one clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="was not written"):
        await file_artifacts(tmp_path / "file" / "r-1").write("a", b"x")
