"""Where nvsx is: on a sandbox or on a real cluster, on which one, in a pod or not.

Decided once a process, from what the cluster itself answers, and handed on as one value.
Whether people are paged, which account scripts get, how long stages may take and whether a
run counts in the statistics all follow from it, never from an option of a command.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

SANDBOX_MARK = "+nvsx-sandbox"
"""How the `gitVersion` of a sandbox's API server ends. It is compiled into the server: nobody
can write it to a real cluster, as a label or a ConfigMap could be written or restored."""
SPEED_FIELD = "nvsxSandboxSpeed"
"""Where a sandbox says beside its version how much faster than life it runs."""


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """`cluster` is the UID of namespace kube-system, `name` the context or what messages call
    it. `speed` is the sandbox's, 1 on a real cluster."""

    cluster: str
    name: str
    sandbox: bool = False
    in_pod: bool = False
    speed: float = 1.0


def decide_whereabouts(
    version: Mapping[str, object] | None, *, cluster: str, name: str, in_pod: bool
) -> Whereabouts:
    """Where we are, by the answer to /version; None when the cluster refused to tell it.

    Unknown is real: a sandbox answers /version to whoever it lets in, so a refusal comes from
    a real cluster, and there people must be paged.

    | time  | what is asked                              | answer            | where  |
    |-------|--------------------------------------------|-------------------|--------|
    | 03:00 | KUBECONFIG of `nvsx sandbox start`         | v1.32.4+nvsx-s…   | sandbox|
    | 03:01 | `--context prod`                           | v1.32.4           | real   |
    | 03:02 | `--context edge`, a vendor's own build     | v1.32.4+k3s1      | real   |
    | 03:03 | `--context nvsx-sandbox`, renamed by hand  | v1.32.4           | real   |
    | 03:04 | `--context bank`, /version is forbidden    | 403               | real   |
    """
    told = version or {}
    sandbox = str(told.get("gitVersion", "")).endswith(SANDBOX_MARK)
    speed = told.get(SPEED_FIELD)
    usable = sandbox and isinstance(speed, int | float) and speed > 0
    return Whereabouts(
        cluster=cluster,
        name=name,
        sandbox=sandbox,
        in_pod=in_pod,
        speed=float(speed) if usable and isinstance(speed, int | float) else 1.0,
    )
