# shellcheck shell=sh disable=SC2154,SC2034
# What install.sh and uninstall.sh share. Sourced by them.

# The namespace of everything.
namespace=prj

say() { printf '%s\n' "$*"; }

# A step that begins, and what came of it.
step() { printf '\n==> %s\n' "$*"; }

fail() {
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

# `timeout` is a number of seconds.
need_seconds() {
    case $timeout in
    '' | *[!0-9]*) fail "--timeout takes seconds, such as 300" ;;
    esac
}

# kubectl in the namespace.
k() { kubectl --namespace "$namespace" "$@"; }

# There is a kubectl that is new enough, and a cluster that answers.
need_cluster() {
    command -v kubectl >/dev/null 2>&1 || fail "kubectl is not there; see https://kubernetes.io/docs/tasks/tools"
    minor=$(kubectl version --client --output=json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n 1)
    [ "${minor:-0}" -ge 21 ] || fail "kubectl 1.${minor:-?} is too old; 1.21 is needed"
    context=$(kubectl config current-context 2>/dev/null) || context=
    answer=$(kubectl --request-timeout=15s get --raw /version 2>&1) ||
        fail "the cluster${context:+ of the context $context} does not answer: $answer"
    server=$(printf '%s' "$answer" | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n 1)
    say "cluster ${context:-(without a context)}, Kubernetes 1.${server:-?}"
}

# The namespace is Cambist's, or not there; `ours` says which.
need_ours() {
    # What kubectl complains of goes to whoever reads, and is no part of the answer.
    owner=$(kubectl get namespace "$namespace" --ignore-not-found \
        --output='jsonpath={.metadata.name}/{.metadata.labels.app\.kubernetes\.io/part-of}') ||
        fail "the cluster does not say whether Cambist is there, see above"
    case $owner in
    '' | /) ours=no ;;
    "$namespace/cambist") ours=yes ;;
    *) fail "the namespace $namespace is not Cambist's; nothing was done to it (kubectl label namespace $namespace app.kubernetes.io/part-of=cambist hands it over)" ;;
    esac
}
