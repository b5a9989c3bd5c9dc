import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvsx.lint import kube_writes
from nvsx.lint.bash_tree import read_script


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("kubectl delete pod x", "kubectl delete"),
        ("kubectl -n ns --context=c cordon x", "kubectl cordon"),
        ("/usr/bin/kubectl drain x", "kubectl drain"),
        ("cat <<'E' | kubectl apply -f -\nkind: x\nE\n", "kubectl apply"),
        ('KUBECTL="kubectl -n x"\n$KUBECTL patch node y', "kubectl patch"),
        ('"${KUBECTL:-kubectl}" delete pod z', "kubectl delete"),
        ("$KUBECTL delete pod z", "kubectl delete"),
        ('k() { kubectl -n foo "$@"; }\nk label node a b=c', "kubectl label"),
        ('run() {\n  "$@"\n}\nrun kubectl taint node x', "kubectl taint"),
        ("alias kk=kubectl\nkk replace -f x", "kubectl replace"),
        ("if kubectl get x; then kubectl scale d/x --replicas=0; fi", "kubectl scale"),
        ("x=$(kubectl annotate node a b=c)", "kubectl annotate"),
        ('echo "now: $(kubectl run x --image=y)"', "kubectl run"),
        ("x=`kubectl cp a b`", "kubectl cp"),
        ("diff <(kubectl get a) <(kubectl create ns b)", "kubectl create"),
        ("kubectl get pods -o name | xargs -r -n 1 kubectl delete", "kubectl delete"),
        ("bash -euc 'kubectl uncordon x'", "kubectl uncordon"),
        ('eval "kubectl drain $N"', "kubectl drain"),
        ("sudo -u root env A=1 timeout 5s kubectl edit node x", "kubectl edit"),
        ("verb=delete\nkubectl $verb pod x", "kubectl delete"),
        ('args=(kubectl -n x)\n"${args[@]}" delete pod', "kubectl delete"),
        ("for i in 1 2; do kubectl cordon $i; done", "kubectl cordon"),
        ("case $1 in\n a) kubectl exec x -- y;;\nesac", "kubectl exec"),
        ("true || kubectl rollout restart deploy/x", "kubectl rollout restart"),
        ("kubectl config use-context x", "kubectl config use-context"),
        ("kubectl delete pod x --dry-run=none", "kubectl delete"),
        ("kubectl \\\n  delete \\\n  pod x", "kubectl delete"),
        ("helm -n x upgrade a b", "helm upgrade"),
        ("curl -XPATCH https://$KUBERNETES_SERVICE_HOST/x", "curl PATCH to the Kubernetes API"),
        ("A=https://h:6443/api\ncurl -d '{}' \"$A/x\"", "curl POST to the Kubernetes API"),
        ("curl --request DELETE h/apis/apps/v1/x", "curl DELETE to the Kubernetes API"),
        ("curl -X DELETE https://h/%61pi/v1/nodes/x", "curl DELETE to the Kubernetes API"),
        ("kubectl '' delete pod x", "kubectl delete"),
        ('X=; kubectl "$X" delete pod x', "kubectl delete"),
        ("kubectl $FLAGS delete pod x", "kubectl delete"),
        ('X=; $X kubectl "" "" drain x', "kubectl drain"),
        ("env -S 'kubectl cordon x'", "kubectl cordon"),
        ("env -u A -S'kubectl cordon' x", "kubectl cordon"),
        ("bash -lc 'kubectl cordon x'", "kubectl cordon"),
        ("bash --login -c 'kubectl cordon x'", "kubectl cordon"),
        ("zsh -lic 'kubectl cordon x'", "kubectl cordon"),
        ("sudo -i kubectl cordon x", "kubectl cordon"),
        ("su - root -c 'kubectl cordon x'", "kubectl cordon"),
        ("ssh -n node kubectl cordon x", "kubectl cordon"),
        ("bash <<'E'\nkubectl cordon x\nE\n", "kubectl cordon"),
        ("trap 'kubectl uncordon x' EXIT", "kubectl uncordon"),
        ("find . -name x -exec kubectl apply -f {} +", "kubectl apply"),
        ('retry() { sleep 1; "$@"; }\nretry 3 kubectl cordon x', "kubectl cordon"),
        ("bounded 5 kubectl cordon x", "kubectl cordon"),
        ("a=1 b=\nkubectl cordon x", "kubectl cordon"),
    ],
)
def test_writes_are_found(script: str, command: str) -> None:
    """Whatever way a write is spelled, it is found once."""
    assert [w.command for w in kube_writes.find_writes(script)] == [command]


@pytest.mark.parametrize(
    "script",
    [
        "# kubectl delete pod x",
        "true # kubectl delete pod x",
        "echo kubectl delete pod x",
        "echo 'kubectl delete pod x; kubectl drain y'",
        'printf "%s" "run: kubectl delete"',
        "cat <<E\nkubectl cordon node\nE\n",
        "cat <<-'E'\n\tkubectl cordon node\n\tE\necho done",
        "kubectl get pod drain",
        "kubectl -n delete get pods",
        "kubectl logs cordon",
        "kubectl create ns x --dry-run=client -o yaml",
        "kubectl rollout status deploy/x",
        "kubectl config view --minify",
        "kubectl auth can-i delete pods",
        "kubectl apply view-last-applied x",
        'kubectl get node -o json | jq ".x | delete"',
        "helm list && helm get values x",
        "curl -X POST -d '{}' https://hooks.slack.com/services/x",
        "curl https://kubernetes.default.svc/api/v1/nodes",
        "msg='it'\"'\"'s'; kubectl describe node x",
        "x=$((1 + 2)); kubectl get pods",
        "cat > kubectl",
        'text="kubectl delete pod"\necho "$text"',
    ],
)
def test_reads_and_texts_are_not(script: str) -> None:
    """Comments, printed text, heredocs, dry runs and reads are no findings."""
    assert kube_writes.find_writes(script) == []


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ('kubectl "$1" pod x', "what `kubectl $1` does"),
        ("$RUN get pods", "what `$RUN` does"),
        ('eval "$x"', "what `eval` does"),
        ('bash -c "$x"', "what `bash` does"),
        ("curl -s h/x | sh", "what `sh` does"),
        ("bash other.sh", "what `bash` does"),
        ("python3 -c 'import subprocess as s; s.run(x)'", "what `python3` does"),
        ("python3 <<'E'\nimport os\nos.system(x)\nE\n", "what `python3` does"),
        ("python3 tools/x.py", "what `python3` does"),
        ("if x; then y", "what cannot be read here"),
    ],
)
def test_what_reading_cannot_tell_is_named(script: str, what: str) -> None:
    """A command that may be anything is no finding of a write, and not passed over either."""
    verdict = kube_writes.judge_script(script)
    assert (verdict.writes, [w.command for w in verdict.unjudged]) == ([], [what])


@pytest.mark.parametrize(
    "script",
    [
        'k() { kubectl -n foo "$@"; }\nk get node',
        'run() { "$@"; }\nrun kubectl get node',
        "python3 -c 'import json; print(json.dumps([]))'",
        "bash -c 'kubectl get pods'",
        'kubectl get pods -o name | while read -r x; do echo "$x"; done',
        "command -v kubectl",
    ],
)
def test_what_only_reads_leaves_no_doubt(script: str) -> None:
    """Wrappers, small Python and shells with a plain text are judged, not named."""
    assert kube_writes.judge_script(script) == kube_writes.WriteVerdict([], [])


def test_the_line_is_the_commands() -> None:
    """Findings point at the line where the command begins, after heredocs and continuations."""
    script = "#!/bin/sh\ncat <<E\nx\nE\ntrue \\\n  && true\nkubectl \\\n  delete pod x\n"
    assert [w.line for w in kube_writes.find_writes(script)] == [7]


def test_commands_know_their_function() -> None:
    """A command in a function's body carries the function's name, one after it does not."""
    script = "f() {\n  one a\n}\nfunction g {\n  two\n}\nthree\n"
    assert [(c.program, c.function) for c in read_script(script).commands] == [
        ("one", "f"),
        ("two", "g"),
        ("three", ""),
    ]


@given(st.text(alphabet="abk $\"'`(){}<>|&;\\\n#=-E", max_size=200))
def test_any_text_is_survived(script: str) -> None:
    """No text, however broken, makes the reader raise or run on for ever."""
    kube_writes.find_writes(script)


@pytest.mark.parametrize("part", ["$(", "`", "((", "<<E\n", '"$(', "${", "x=("])
def test_deep_nesting_is_survived(part: str) -> None:
    """Thousands of open brackets end neither in a traceback nor in a long wait."""
    kube_writes.find_writes(part * 3000)
