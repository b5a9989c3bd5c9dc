# ruff: noqa: E501 - one mistake a line: the table is read by its columns
from pathlib import Path

import pytest
from pydantic import BaseModel

from nvsx.core.errors import InvalidRunbook
from nvsx.project import settings


def test_everything_has_a_default(tmp_path: Path) -> None:
    """Without a file, or with one of comments only, the documented defaults hold."""
    plain = settings.load(tmp_path, {})
    (tmp_path / "nvsx.yaml").write_text("# nothing yet\n")
    assert settings.load(tmp_path, {}) == plain == settings.Settings()
    assert plain.nvsentinel.namespace == "nvsentinel"
    assert (plain.serve.modes, plain.serve.host, plain.serve.port) == (
        ("webhook",),
        "127.0.0.1",
        8080,
    )
    assert (plain.limits.max_concurrent_runs, plain.limits.max_event_age) == (200, 900)
    assert (plain.limits.storm.nodes, plain.limits.storm.window) == (8, 120)
    assert (plain.hooks.timeout, plain.hooks.kubectl_writes) == (30, "deny")
    assert plain.history.keep == 400 * 86400


def test_the_documented_file_loads(tmp_path: Path) -> None:
    """The example of the documentation is valid and is read as it says."""
    (tmp_path / "nvsx.yaml").write_text(r"""
apiVersion: nvsx/v1
kind: Project
cluster: {names: [prod-us-west-2]}
nvsentinel: {namespace: gpu-health}
healthEvents: {uri: auto, credentials: {file: /run/secret}}
serve:
  modes: [watch, webhook]
  sources:
    pagerduty: {secretFile: /run/pd, node: {from: event.data.title, pattern: 'on (?P<node>\S+)'}}
limits: {maxConcurrentRuns: 200, maxEventAge: 15m, storm: {nodes: 8, window: 2m}}
hooks: {timeout: 30s, kubectlWrites: deny}
history: {keep: 400d}
""")
    loaded = settings.load(tmp_path, {})
    assert loaded.cluster.names == ("prod-us-west-2",)
    assert loaded.serve.modes == ("watch", "webhook")
    node = loaded.serve.sources["pagerduty"].node
    assert [(n.from_, n.pattern) for n in node] == [("event.data.title", r"on (?P<node>\S+)")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("servo: {}\n", "nvsx.yaml:1:1: unknown key 'servo' (did you mean serve?)"),
        ("serve: {modes: [wach]}\n", "nvsx.yaml:1:17: modes: unknown value 'wach' (did you mean watch?)"),
        ("serve: {port: 70000}\n", "nvsx.yaml:1:15: port: the value should be less than or equal to 65535"),
        ("limits: {storm: {window: 5}}\n", "nvsx.yaml:1:26: '5' has no unit: write 5s, 5m or 5h"),
        ("healthEvents: {credentials: {}}\n", "nvsx.yaml:1:29: credentials has exactly one of file, secret, env"),
        ("serve: {sources: {pagerdut: {}}}\n", "nvsx.yaml:1:19: source 'pagerdut' needs a kind (did you mean pagerduty?)"),
        ("serve: {sources: {poll: {kind: generic}}}\n", "nvsx.yaml:1:19: 'poll' is a source of nvsx's own (choose another name)"),
        ("serve: {sources: {grafana: {events: [x]}}}\n", "nvsx.yaml:1:29: a grafana source has no event types"),
        ("serve: {sources: {nvsentinel: {default: true}}}\n", "nvsx.yaml:1:32: what a nvsentinel source sends always may go to the catch-all"),
        ("serve: {sources: {jira: {timestampHeader: X-T}}}\n", "nvsx.yaml:1:26: signature websub has no timestamp header to name"),
        ("serve: {sources: {opsgenie: {header: X-T}}}\n", "nvsx.yaml:1:30: the header of signature bearer is fixed"),
        ("serve: {sources: {a/b: {kind: generic}}}\n", "nvsx.yaml:1:19: 'a/b' cannot be part of a URL (lower-case letters, digits, . _ -)"),
        ("serve: {sources: {jira: {nodee: {}}}}\n", "nvsx.yaml:1:26: unknown key 'nodee' (did you mean node?)"),
        ("serve: {sources: {jira: {node: {from: a, pattern: '('}}}}\n", "nvsx.yaml:1:51: the pattern does not compile: missing ) at position 1"),
        ("serve: {sources: {jira: {node: [{from: a}, {cel: body.}]}}}\n", "nvsx.yaml:1:50: cel: Syntax error: no viable alternative at input '.' at character 6"),
        ("serve: {sources: {jira: {node: {cel: 'true'}}}}\n", "nvsx.yaml:1:38: cel: the expression is bool, not a text"),
        ("serve: {sources: {jira: {secretFile: [a, b, c]}}}\n", "nvsx.yaml:1:38: 3 secrets (two are enough to rotate one)"),
        ("serve: {sources: {jira: {secretFile: a, secretEnv: B}}}\n", "nvsx.yaml:1:25: the secret is in secretFile or in secretEnv, not in both"),
        ("apiVersion: nvsx/v2\n", "nvsx.yaml:1:13: apiVersion 'nvsx/v2' is not supported (this nvsx reads nvsx/v1)"),
    ],
)  # fmt: skip
def test_mistakes_are_named_at_their_place(tmp_path: Path, text: str, found: str) -> None:
    """Settings are checked as strictly as runbooks."""
    (tmp_path / "nvsx.yaml").write_text(text)
    with pytest.raises(InvalidRunbook) as caught:
        settings.load(tmp_path, {})
    assert [str(p) for p in caught.value.problems] == [found]


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    """Neither an error nor a printed setting repeats the store's URI."""
    (tmp_path / "nvsx.yaml").write_text("healthEvents: {uri: 'mongo://u:hunter2@h'}\n")
    with pytest.raises(InvalidRunbook) as caught:
        settings.load(tmp_path, {})
    assert "hunter2" not in str(caught.value)
    (tmp_path / "nvsx.yaml").write_text("healthEvents: {uri: 'mongodb://u:hunter2@h'}\n")
    assert "hunter2" not in repr(settings.load(tmp_path, {}))


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    """Variables replace single settings and leave the rest of the file alone."""
    (tmp_path / "nvsx.yaml").write_text("serve: {port: 9000, host: 0.0.0.0}\n")
    env = {
        "NVSX_SERVE_PORT": "9001",
        "NVSX_SERVE_MODES": "watch, poll",
        "NVSX_REQUIRE_AUTH": "true",
    }
    serve = settings.load(tmp_path, env).serve
    assert (serve.port, serve.host, serve.modes) == (9001, "0.0.0.0", ("watch", "poll"))
    assert serve.require_auth is True


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    """A mistake in the environment is reported with the variable, not with the file."""
    with pytest.raises(InvalidRunbook) as caught:
        settings.load(tmp_path, {"NVSX_SERVE_PORT": "x", "NVSX_HOOK_TIMEOUT": "5"})
    assert sorted(str(p) for p in caught.value.problems) == [
        "NVSX_HOOK_TIMEOUT: '5' has no unit: write 5s, 5m or 5h",
        "NVSX_SERVE_PORT: port: a whole number is expected",
    ]


def test_every_variable_names_a_setting() -> None:
    """No documented variable points at a setting that does not exist."""
    for section, key in settings.ENVIRONMENT.values():
        group = getattr(settings.Settings(), _attribute(settings.Settings, str(section)))
        assert _attribute(type(group), str(key))


def _attribute(model: type[BaseModel], alias: str) -> str:
    return next(name for name, field in model.model_fields.items() if field.alias == alias)
