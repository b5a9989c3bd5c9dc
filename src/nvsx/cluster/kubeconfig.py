"""kubectl's own configuration: which contexts there are, and a file with just one of them.

kubectl reads it, never nvsx: several files in KUBECONFIG, merging and every kind of user
are its business. The proxy asks what a context is, setup and doctor show contexts, and
child processes get a private file with only this run's context, so that a hook cannot talk
to whatever happens to be current.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nvsx.core.errors import ClusterError, UsageError

#: `kubectl config view` reads files alone; what takes longer waits for something else.
_TIMEOUT = 15.0


class Context(msgspec.Struct, frozen=True):
    """`plugin` is the command of the user's exec credential plug-in, "" without one."""

    name: str
    cluster: str = ""
    namespace: str = ""
    server: str = ""
    plugin: str = ""
    current: bool = False


def list_contexts(environ: Mapping[str, str] | None = None) -> list[Context]:
    """All contexts kubectl knows. Raises ClusterError (no kubectl, unreadable file)."""
    view = _view_config((), environ)
    clusters = _index_by_name(view.get("clusters"), "cluster")
    users = _index_by_name(view.get("users"), "user")
    found = []
    for name, context in _index_by_name(view.get("contexts"), "context").items():
        cluster, user = context.get("cluster") or "", context.get("user") or ""
        found.append(
            Context(
                name=name,
                cluster=cluster,
                namespace=context.get("namespace") or "",
                server=clusters.get(cluster, {}).get("server") or "",
                plugin=(users.get(user, {}).get("exec") or {}).get("command") or "",
                current=name == view.get("current-context"),
            )
        )
    return found


def find_context(name: str | None, environ: Mapping[str, str] | None = None) -> Context:
    """The context `name`, or the current one.

    Raises UsageError for an unknown name, ClusterError without a current context.
    """
    known = list_contexts(environ)
    for context in known:
        if context.name == name or (not name and context.current):
            return context
    names = ", ".join(c.name for c in known) or "none"
    if name:
        raise UsageError(f"kubectl has no context {name}", f"contexts: {names}")
    raise ClusterError(
        f"kubectl has no current context (contexts: {names})",
        "name one with --context, or pick one with `kubectl config use-context NAME`",
    )


def write_pinned_kubeconfig(
    context: str | None, dest: Path, environ: Mapping[str, str] | None = None
) -> Path:
    """Write a kubeconfig with only `context` (the current one if None) to `dest`, mode 0600.

    Certificates are inlined; paths that cannot be (token files, plug-ins) become absolute.
    The file is JSON, which is YAML. Raises UsageError and ClusterError.
    """
    name = find_context(context, environ).name
    view = _view_config(("--minify", "--flatten", "--raw", f"--context={name}"), environ)
    view["current-context"] = name
    _make_paths_absolute(view, environ)
    private = dest.with_name(f".{dest.name}.{os.getpid()}")
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(view, file, indent=1)
    private.replace(dest)
    return dest


def _make_paths_absolute(view: dict[str, Any], environ: Mapping[str, str] | None) -> None:
    """Relative paths count from the file they stand in, and the pinned file is elsewhere."""
    for name, user in _index_by_name(view.get("users"), "user").items():
        plugin = user.get("exec") or {}
        for holder, field in ((user, "tokenFile"), (plugin, "command")):
            path = holder.get(field) or ""
            bare = field == "command" and "/" not in path
            if path and not bare and not Path(path).is_absolute():
                holder[field] = str(_folder_of(name, environ) / path)


def _folder_of(user: str, environ: Mapping[str, str] | None) -> Path:
    """The folder of the file that defines `user`: the first wins, as in kubectl's merge."""
    env = _copy_environment(environ)
    files = [Path(f) for f in env.get("KUBECONFIG", "").split(os.pathsep) if f]
    files = files or [Path(env.get("HOME", "~")).expanduser() / ".kube" / "config"]
    for file in files:
        if user in _index_by_name(
            _view_config((), {**env, "KUBECONFIG": str(file)}).get("users"), "user"
        ):
            return file.absolute().parent
    return files[0].absolute().parent


def _view_config(options: tuple[str, ...], environ: Mapping[str, str] | None) -> dict[str, Any]:
    text = _run_kubectl(("config", "view", "-o", "json", *options), environ)
    try:
        view = json.loads(text)
    except ValueError as error:
        raise ClusterError(f"kubectl config view printed no JSON: {error}") from error
    return view if isinstance(view, dict) else {}


def _run_kubectl(args: tuple[str, ...], environ: Mapping[str, str] | None) -> str:
    try:
        process = subprocess.Popen(
            ("kubectl", *args),
            env=_copy_environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise kubectl_is_missing() from error
    except OSError as error:
        raise ClusterError(f"kubectl cannot be run: {error.strerror}") from error
    with process:
        try:
            out, err = process.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            # Some distributions put a dispatcher before kubectl, which asks the server even
            # for this and so runs a credential plug-in: end the plug-in too.
            os.killpg(process.pid, signal.SIGKILL)
            raise ClusterError(
                f"kubectl {' '.join(args[:2])} did not end in {_TIMEOUT:g}s: "
                "a credential plug-in may be waiting for a person",
                "run `kubectl get nodes` once, then try again",
            ) from error
    if process.returncode != 0:
        said = err.decode("utf-8", "replace").strip().splitlines()
        why = said[-1].removeprefix("error: ") if said else f"exit code {process.returncode}"
        raise ClusterError(
            f"kubectl's configuration cannot be read: {why}", "see `kubectl config view`"
        )
    return out.decode("utf-8", "replace")


def kubectl_is_missing() -> ClusterError:
    return ClusterError(
        "kubectl is not on PATH",
        "install it (https://kubernetes.io/docs/tasks/tools/), or try nvsx with --sandbox",
    )


def _copy_environment(environ: Mapping[str, str] | None) -> dict[str, str]:
    return dict(os.environ if environ is None else environ)


def _index_by_name(entries: object, field: str) -> dict[str, dict[str, Any]]:
    """kubeconfig lists are of {name, <field>}; the first of a name wins."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            found.setdefault(entry["name"], entry.get(field) or {})
    return found
