"""Changes that make a sandbox another kind of installation."""

from __future__ import annotations

from nvsentinel_sandbox.host import Sandbox


def on_postgresql(sandbox: Sandbox) -> None:
    """The ConfigMap of an installation that keeps its events in PostgreSQL."""
    sandbox.store.delete("configmaps", "mongodb-config", namespace="nvsentinel")
    sandbox.store.create(
        "configmaps",
        {
            "metadata": {"name": "nvsentinel-datastore-config"},
            "data": {"DATASTORE_PROVIDER": "postgresql"},
        },
        namespace="nvsentinel",
    )


def without_nvsentinel(sandbox: Sandbox) -> None:
    """None of its modules."""
    for plural in ("deployments", "daemonsets"):
        for found in sandbox.store.list(plural, namespace="nvsentinel"):
            sandbox.store.delete(plural, found["metadata"]["name"], namespace="nvsentinel")


def without_permission(sandbox: Sandbox) -> None:
    """An account that may read nothing."""
    for path in ("/api/v1/", "/apis/"):
        sandbox.server.faults.refuse(403, path=path, times=-1)
