"""Writes the kubeconfig of a sandbox, for kubectl, for scripts and for nvsx itself.

JSON, which is YAML too. Readable by its owner alone, replaced in one step, and never the
user's own kubeconfig: the caller names the file.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path

from nvsentinel_sandbox.kube import loopback
from nvsentinel_sandbox.kube.access import url_with_token


def write_kubeconfig(
    path: Path, url: str, token: str, context: str = "nvsx-sandbox", namespace: str = "default"
) -> Path:
    """Write a kubeconfig with this one context (mode 0600) and return its path.

    A plain HTTP server has the token in its path as well as in the user's place: kubectl
    sends no credentials there.
    """
    cluster = {"server": url_with_token(url, token)}
    if url.startswith("https:"):
        authority = base64.b64encode(loopback.certificate().encode()).decode()
        cluster = {"server": url, "certificate-authority-data": authority}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": {"token": token}}],
        "contexts": [
            {
                "name": context,
                "context": {"cluster": context, "user": context, "namespace": namespace},
            }
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp creates with 0600, so the token is never readable by others, not even briefly.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
