"""A target's secret: from a variable or a file, read anew when the file changes."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from nvsx.core.errors import NotReady
from nvsx.core.masking import Masker
from nvsx.core.notify.target_port import DeliveryDelayed
from nvsx.project.secret_files import Secret, open_configured_secret


class TargetSecret:
    """One secret of target `target`, by variable `env` or file `file` (relative to `root`).

    Nothing is read before it is needed: a file that is mounted later is found by the next try, and
    one target without its secret keeps no other from delivering. `masker` learns each value.
    """

    def __init__(
        self,
        target: str,
        file: str | None,
        variable: str | None,
        root: Path,
        env: Mapping[str, str],
        masker: Masker | None = None,
    ) -> None:
        self._target = target
        self._file = root / Path(file).expanduser() if file else None
        self._variable = variable or ""
        self._env = env
        self._masker = masker
        self._secret: Secret | None = None
        self._told = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place})"

    @property
    def place(self) -> str:
        """Where it is, in words that may be shown."""
        return f"file {self._file}" if self._file else f"variable {self._variable}"

    def read(self) -> str:
        """The value as it is now.

        Raises DeliveryDelayed when it is not there: a mounted file, or a start with the variable,
        mends that, and what waits is then delivered.
        """
        try:
            if self._secret is None:
                files = [str(self._file)] if self._file else []
                variables = [self._variable] if self._variable else []
                self._secret = open_configured_secret(files, variables, Path(), self._env)
            value = self._secret.values()[0].decode() if self._secret else ""
        except NotReady as exc:
            raise DeliveryDelayed(f"{self._target}: {exc.message}{self._word_mode()}") from None
        except UnicodeDecodeError:
            raise DeliveryDelayed(f"{self._target}: {self.place} is no text") from None
        if value != self._told and self._masker is not None:
            self._masker.learn([value])
            self._told = value
        return value

    def _word_mode(self) -> str:
        """The mode of a file that is there, since it is often what keeps it from being read."""
        try:
            mode = stat.S_IMODE(self._file.stat().st_mode) if self._file else None
        except OSError:
            return ""
        return f" (mode {mode:04o})" if mode is not None else ""


def show_last(secret: str) -> str:
    """A key by its last four characters: enough to tell two of them apart, too little to use."""
    return f"…{secret[-4:]}" if len(secret) >= 16 else "…"
