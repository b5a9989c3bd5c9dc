"""What a project's masker knows: the daemon's token, and files that change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nvsx.project.home import Home
from nvsx.project.secret_files import TOKEN_FILE, open_own_token
from nvsx.project.secret_masker import FileMasker


def test_the_daemons_own_token_is_masked(tmp_path: Path) -> None:
    """The token that nvsx made for webhooks is one of the secrets nothing may show."""
    home = Home(str(tmp_path))
    open_own_token(home.state_dir)
    token = (home.state_dir / TOKEN_FILE).read_text(encoding="utf-8").strip()
    assert token not in home.masker.mask(f"curl -H 'Authorization: Bearer {token}'")


def test_secret_files_are_looked_at_once_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of a thousand texts costs one look at each file, and one that was rotated since
    the last record is masked in the next."""
    secret, looks = tmp_path / "secret", list[str]()
    secret.write_text("first-secret", encoding="utf-8")
    masker = FileMasker([secret])
    look = os.stat

    def counted(path: Any, **how: Any) -> os.stat_result:
        looks.append(str(path))
        return look(path, **how)

    monkeypatch.setattr(os, "stat", counted)
    assert masker.value(["first-secret"] * 1000) == ["***"] * 1000
    monkeypatch.undo()
    assert looks.count(str(secret)) == 1
    secret.write_text("another-secret", encoding="utf-8")
    assert masker.value({"a": ["another-secret", "first-secret"]}) == {"a": ["***", "***"]}


def test_settings_that_cannot_be_read_leave_the_token_masked(tmp_path: Path) -> None:
    """A mistake in nvsx.yaml costs what it names, and not what nvsx knows without it."""
    (tmp_path / "nvsx.yaml").write_text("serve: [\n", encoding="utf-8")
    home = Home(str(tmp_path))
    open_own_token(home.state_dir)
    token = (home.state_dir / TOKEN_FILE).read_text(encoding="utf-8").strip()
    assert home.masker.hides(token)
