#!/bin/sh
# Installs Cambist into the current Kubernetes cluster; see ../install.sh, which calls this. Safe to run again: it brings the
# cluster to what the manifests say, and keeps the secrets that there are.
set -eu
program=install.sh
deploy=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/common.sh
. "$deploy/common.sh"

usage() {
    cat <<'END'
Installs Cambist into the current Kubernetes cluster, in the namespace prj, and waits until everything is ready.

Usage: . install.sh [options]        (in zsh: . ./install.sh [options], in sh: sh install.sh [options])

Some kinds of sh (dash) hand no options to what they source. There: set -- --image IMAGE; . ./install.sh

  --image IMAGE    what to run: an image that the cluster can pull. Without it the one that `cargo xtask image` has
                   built here is loaded into the cluster, if that is kind, minikube, k3d or k3s on this machine
  --overlay NAME   default: everything in the cluster. ha: three NATS servers. external: a managed PostgreSQL and
                   NATS, see deploy/kubernetes/overlays/external. Or a folder of your own
  --no-ingress     leave the Ingress out
  --timeout TIME   how long each step may take, in seconds (default 300)
  --help           this

Run it again after a change of the manifests, of the settings or of the image. uninstall.sh removes everything.
END
}

image=
overlay=default
ingress=yes
timeout=300
while [ $# -gt 0 ]; do
    case $1 in
    --image | --overlay | --timeout) [ $# -ge 2 ] || fail "$1 takes a value; see --help" ;;
    esac
    case $1 in
    --image)
        image=$2
        shift
        ;;
    --overlay)
        overlay=$2
        shift
        ;;
    --timeout)
        timeout=${2%s}
        shift
        ;;
    --no-ingress) ingress=no ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) fail "there is no $1; see --help" ;;
    esac
    shift
done
need_seconds
case $image in
*[!A-Za-z0-9._/:@-]*) fail "--image: $image is no image" ;;
esac

# Nothing secret is written where others can read it, and nothing is left behind.
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# shellcheck source=deploy/images.sh
. "$deploy/images.sh"

# Everything of one phase, without the Ingress where that is not wanted.
apply() {
    selector=cambist.phase=$1
    [ "$ingress" = yes ] || selector="$selector,app.kubernetes.io/component!=ingress"
    kubectl apply --server-side --force-conflicts --selector="$selector" --filename="$work/rendered.yaml"
}

# What of a phase is not as it should be yet, one name after the other.
unready() {
    k get statefulsets,deployments --selector="cambist.phase=$1" --output='jsonpath={range .items[*]}{.metadata.name}'\
'/{.metadata.generation}/{.spec.replicas}/{.status.observedGeneration}/{.status.replicas}/{.status.updatedReplicas}'\
'/{.status.readyReplicas}{"\n"}{end}' >"$work/state" || return
    awk -F/ '$2 != $4 || $3 != $5 || $3 != $6 || $3 != $7 {printf "%s%s", separator, $1; separator = " "}' "$work/state"
}

# Waits until everything of a phase is as it should be, tells what is waited for, and why if that does not come.
ready() {
    waited=0
    told=
    while :; do
        missing=$(unready "$1") || missing="an answer of the cluster"
        [ -n "$missing" ] || break
        if [ "$waited" -ge "$timeout" ]; then
            k get pods --output=wide >&2 || :
            k get events --sort-by=.lastTimestamp 2>/dev/null | tail -n 15 >&2 || :
            fail "not ready after $timeout s: $missing. It is safe to run this again; to look: kubectl -n $namespace describe pods"
        fi
        [ "$missing" = "$told" ] || say "waiting for $missing"
        told=$missing
        sleep 1
        waited=$((waited + 1))
    done
    say "ready"
}

# Whether the overlay brings the server $1, or somebody else keeps one.
brings() { grep -Eq "serviceName: $1(-peers)?\$" "$work/rendered.yaml"; }

# Each Secret gets what deploy/secrets.txt lists for it and it does not have yet.
make_secrets() {
    k get secrets --output='jsonpath={range .items[*]}{.metadata.name} {.data}{"\n"}{end}' >"$work/there"
    : >"$work/new.yaml"
    made=
    # shellcheck disable=SC2013
    for name in $(sed '/^#/d; s/ .*//' "$deploy/secrets.txt" | sort -u); do
        # Of a database that is somebody else's, so is the name by which it lets us in.
        [ "$name" != postgres ] || brings postgres || continue
        there=$(grep "^$name " "$work/there") || there=
        : >"$work/keys"
        while read -r secret key value; do
            [ "$secret" = "$name" ] || continue
            case $there in
            *"\"$key\":"*) continue ;;
            esac
            # A letter first, so that no reader of settings takes it for a number.
            [ -n "$value" ] || value=s$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
            printf '  %s: "%s"\n' "$key" "$value" >>"$work/keys"
            made="$made $name/$key"
        done <"$deploy/secrets.txt"
        if [ ! -s "$work/keys" ]; then
            say "secret/$name kept"
        elif [ -n "$there" ]; then
            { printf 'stringData:\n' && cat "$work/keys"; } >"$work/patch.yaml"
            k patch secret "$name" --type=merge --patch-file="$work/patch.yaml"
        else
            {
                printf -- '---\napiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata:\n  name: %s\n' "$name"
                printf '  labels:\n    app.kubernetes.io/part-of: cambist\nstringData:\n'
                cat "$work/keys"
            } >>"$work/new.yaml"
        fi
    done
    [ ! -s "$work/new.yaml" ] || k create --filename="$work/new.yaml"
}

# The secrets let everybody in: what is to be known on the other side can be known there, and what becomes part of an address is
# no sign of one. Otherwise it says everything that is to do, and nothing is started.
check_secrets() {
    # Quoted, so that a line is a line; the file is for nobody else, and goes.
    # shellcheck disable=SC2016
    k get secrets --output='go-template={{range .items}}{{$name := .metadata.name}}{{range $key, $value := .data}}'\
'{{$name}} {{$key}} {{printf "%q" (base64decode $value)}}{{"\n"}}{{end}}{{end}}' >"$work/values"
    : >"$work/lacks"
    if ! brings postgres; then
        if grep -q '^postgres user ' "$work/values" && grep -q '^postgres password ' "$work/values"; then
            say "secret/postgres is yours"
        else
            cat <<END >>"$work/lacks"

The overlay $overlay has no PostgreSQL of its own. Say who may make schemas and roles in yours:
  kubectl -n $namespace create secret generic postgres --from-literal=user=… --from-literal=password=…
END
        fi
    fi
    case $made in
    *nats-password*)
        brings nats || cat <<END >>"$work/lacks"

The overlay $overlay has no NATS of its own. Make these users in yours, with the permissions in
deploy/kubernetes/components/nats/nats.conf and the passwords that were made just now:
  wallet, exchanger, bc_gateway, notification
  for name in wallet exchanger bc-gateway notification; do
    kubectl -n $namespace get secret \$name -o jsonpath="\$name {.data.nats-password}{'\\n'}"
  done | while read -r name password; do echo "\$name \$(echo "\$password" | base64 -d)"; done
END
        ;;
    esac
    # shellcheck disable=SC2013
    for name in $(sed '/^#/d; s/ .*//' "$deploy/secrets.txt" | sort -u); do
        grep -E "^$name (user|password|database-password|nats-password) " "$work/values" || :
    done | grep -Ev ' "[A-Za-z0-9._~-]+"$' | while read -r name key _; do
        printf '\n%s\n' "secret/$name: its $key becomes part of an address, and may have letters, digits and . _ ~ - only"
    done >>"$work/lacks"
    rm -f "$work/values" "$work/keys" "$work/patch.yaml" "$work/new.yaml"
    [ ! -s "$work/lacks" ] || {
        cat "$work/lacks" >&2
        fail "nothing was started; run this again when that is done"
    }
}

migrate() {
    # A Job cannot be changed, and this one may be run as often as wanted.
    k delete job migrate --ignore-not-found
    apply schema
    waited=0
    while :; do
        # An answer that does not come is asked for again.
        ended=$(k get job migrate --output='jsonpath={range .status.conditions[?(@.status=="True")]}{.type} {end}') || ended=
        case $ended in
        *Complete*) break ;;
        *Failed*) fail_migration "failed" ;;
        esac
        [ "$waited" -lt "$timeout" ] || fail_migration "is not done after $timeout s"
        [ $((waited % 10)) -ne 0 ] || say "waiting for job/migrate"
        sleep 1
        waited=$((waited + 1))
    done
    say "job/migrate done"
}

fail_migration() {
    k logs --selector=app.kubernetes.io/name=migrate --all-containers --prefix --tail=30 >&2 || :
    fail "the migration $1; nothing that needs it was started"
}

# The address of the Ingress, in `where`; one that was just made gets it a moment later.
find_address() {
    waited=0
    while :; do
        where=$(k get ingress wallet --ignore-not-found \
            --output='jsonpath={.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}') || where=
        { [ -z "$where" ] && [ "$waited" -lt 15 ] && [ "$waited" -lt "$timeout" ]; } || break
        [ "$waited" -gt 0 ] || say "waiting for the address of the Ingress"
        sleep 1
        waited=$((waited + 1))
    done
}

# Where it can be reached.
tell() {
    where=
    [ "$ingress" = no ] || find_address
    step "Cambist is running"
    if [ -n "$where" ]; then
        say "address    http://$where"
        say "try it     newman run ./tests/prj_final.postman_collection.json --env-var host=http://$where"
    else
        [ "$ingress" = no ] || say "The Ingress has no address yet; your cluster needs an ingress controller for that."
        say "address    in two other terminals:"
        say "             kubectl -n $namespace port-forward service/auth 8000:8000      http://127.0.0.1:8000"
        say "             kubectl -n $namespace port-forward service/wallet 8010:8000    http://127.0.0.1:8010"
        say "try it     newman run ./tests/prj_final.postman_collection.json --env-var wallet_host=http://127.0.0.1:8010"
    fi
    say "operators  kubectl -n $namespace get secret operator -o jsonpath='{.data.internal-token}' | base64 -d"
    say "keep       a copy of the Secret bc-gateway: its chain-seed is the key to every coin"
}

folder=$deploy/kubernetes/overlays/$overlay
[ -d "$folder" ] || folder=$overlay
[ -f "$folder/kustomization.yaml" ] || fail "there is no overlay $overlay in deploy/kubernetes/overlays"
need_cluster
# `sleep` before an end, which pods are given, is there since then.
[ "${server:-0}" -ge 30 ] || fail "the cluster has Kubernetes 1.${server:-?}; 1.30 or later is needed"
need_ours
step "image"
choose_image
kubectl kustomize "$folder" | sed "s|image: cambist:local\$|image: $image|" >"$work/rendered.yaml"
grep -q "image: $image\$" "$work/rendered.yaml" || fail "$folder does not render to anything that runs Cambist"

step "namespace and secrets"
kubectl apply --server-side --force-conflicts --filename="$deploy/kubernetes/base/namespace.yaml"
make_secrets
check_secrets
step "what the services stand on"
apply foundation
[ "$ingress" = yes ] || k delete ingress,networkpolicy --selector=app.kubernetes.io/component=ingress --ignore-not-found
ready foundation
step "schemas and logins"
migrate
step "the services"
apply services
ready services
tell
