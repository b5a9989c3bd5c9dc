"""Where NVSentinel's store is, as the adapters need to know it.

`opening` makes a `StoreTarget` from nvsx.yaml and from what the cluster's ConfigMaps say; the
adapters turn it into their driver's parameters. Its repr shows no URI and no credentials.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from nvsx.nvsentinel.event_store.credentials import Material
from nvsx.nvsentinel.event_store.event_store_errors import (
    HealthEventsError,
    connection_failure,
    store_failure,
    strip_secrets,
)
from nvsx.nvsentinel.event_store.port_forward import PortForward

Product = Literal["MongoDB", "PostgreSQL"]


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """`name` is what messages call the place. `database` and `collection` are "" when the
    URI or the product's usual names decide. `folder` is private, for drivers that want files.
    """

    product: Product
    uri: str = field(repr=False)
    name: str
    folder: Path
    material: Material = field(default_factory=Material, repr=False)
    database: str = ""
    collection: str = ""
    forward: PortForward | None = None
    in_pod: bool = False
    namespace: str = "nvsentinel"

    @property
    def where(self) -> str:
        through = ", through kubectl port-forward" if self.forward else ""
        return f"NVSentinel's {self.product} ({self.name}{through})"

    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may contain."""
        try:
            parts = urlsplit(self.uri)
            password = parts.password or ""
        except ValueError:
            password = ""
        return (self.uri, password, unquote(password), self.material.password, self.material.key)

    def said(self, error: BaseException) -> str:
        """A driver's exception as text for a person."""
        return strip_secrets(str(error), self.secrets()) or type(error).__name__

    def unreached(self, error: BaseException) -> HealthEventsError:
        """A connection that did not come about, or was lost."""
        return connection_failure(
            self.where, self.said(error), in_pod=self.in_pod, namespace=self.namespace
        )

    def slow(self, seconds: float) -> HealthEventsError:
        return store_failure("timeout", f"{self.where} did not answer within {seconds:g}s")
