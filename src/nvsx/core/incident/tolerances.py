"""How long an incident waits, and why: the limits that people can set, and fixed tolerances."""

from __future__ import annotations

import msgspec

#: A reboot's own faults (connectivity, not ready, link) go by themselves within it after Ready.
SIDE_EFFECTS_AFTER_READY = 300.0
#: A provider can call a reboot done before the node goes down: 5 minutes on aws, azure, oci.
REBOOT_DUE = 300.0
#: After a poll error or a request that was refused NVSentinel tries again within minutes.
PATIENCE = 300.0
#: Marks and conditions travel by two queues: a condition can turn some time after the release.
CLEARED_AFTER_RELEASE = 30.0
#: NVSentinel's own acceptance test gives the cordon two minutes.
QUARANTINED_WITHIN = 120.0
#: An alert that the cluster does not confirm is said to be so after it.
CONFIRMED_WITHIN = 120.0
#: The code of the note that says so.
NOTHING_SHOWN = "nothing-shown"
#: A fault of the same check and entity so soon after an end belongs in the same thread.
AGAIN_WITHIN = 3600.0
#: An alert that an ended incident has answered, and that fires on, gets one post after it.
STILL_FIRING = 1800.0
#: A fault shows in the cluster within seconds of its sender's time: so much older than nvsx's last
#: look without it is the way there, and more is a clock that is wrong.
SHOWN_WITHIN = 10.0
#: A sender's clock that is off by less is not worth a word: conditions have whole seconds.
SKEW_WORTH_A_NOTE = 2.0


class IncidentLimits(msgspec.Struct, frozen=True):
    """Seconds. `quiet`: all must have been well for so long before it is over. `clear`: the same
    where NVSentinel never quarantined, because such faults flap. `unseen`: an alert that nobody
    confirms and nobody takes back. `replacement`: a new Node of the same name after a
    TerminateNode. `gone`: a Node that anybody else took away."""

    quiet: float = 30.0
    clear: float = 600.0
    unseen: float = 86400.0
    replacement: float = 900.0
    gone: float = 86400.0


#: The sandbox's nodes come back within seconds, and a lesson should not wait.
SANDBOX_LIMITS = IncidentLimits(quiet=3.0)
