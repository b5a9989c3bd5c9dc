"""Store URIs whose password is not encoded."""

from pathlib import Path

import pytest

from nvsx.core.errors import InvalidRunbook
from nvsx.core.store_uris import why_credentials_unreadable
from nvsx.project.settings import load

WRONG = ["p@ss", "p:ss", "p/ss", "p?ss", "p#ss", "100%", "p ss"]


@pytest.mark.parametrize("password", WRONG)
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv", "postgresql"])
def test_an_unencoded_password_is_refused_and_shows_nowhere(
    scheme: str, password: str, tmp_path: Path
) -> None:
    """The hint says how to write it; neither the finding nor its place repeats any of it."""
    uri = f"{scheme}://nvsx:S3cret{password}@db.example:5432/nvsentinel"
    assert "percent-encode" in why_credentials_unreadable(uri)
    (tmp_path / "nvsx.yaml").write_text(
        f"apiVersion: nvsx/v1\nkind: Project\nhealthEvents: {{uri: '{uri}'}}\n"
    )
    with pytest.raises(InvalidRunbook) as caught:
        load(tmp_path, {})
    said = str(caught.value)
    assert "percent-encode" in said
    assert "S3cret" not in said
    assert "db.example" not in said


@pytest.mark.parametrize(
    "uri",
    [
        "auto",
        "mongodb://db:27017/nvsentinel",
        "mongodb://nvsx:p%40ss%3A%2F@a:27017,b:27017/nvsentinel?replicaSet=rs0",
        "postgresql://nvsx@db/nvsentinel?sslmode=require",
        "postgresql://nvsx:p-._~!$&'()*+,;=@db/nvsentinel",
    ],
)
def test_what_is_encoded_is_taken(uri: str) -> None:
    """Encoded passwords, none at all, and characters that need no encoding."""
    assert why_credentials_unreadable(uri) == ""
