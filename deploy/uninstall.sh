#!/bin/sh
# Removes Cambist from the current Kubernetes cluster; see ../uninstall.sh, which calls this.
set -eu
program=uninstall.sh
# shellcheck source=deploy/common.sh
. "$(dirname -- "$0")/common.sh"

usage() {
    cat <<'END'
Removes Cambist from the current Kubernetes cluster: everything in the namespace prj, with its data and its secrets.

Usage: . uninstall.sh [--yes]        (in zsh: . ./uninstall.sh [--yes], in sh: sh uninstall.sh [--yes])

Some kinds of sh (dash) hand no options to what they source. There: set -- --yes; . ./uninstall.sh

  --yes            do not ask
  --timeout TIME   how long it may take until everything is gone, in seconds (default 300)
  --help           this

The database, the queues and the key to every coin on the chain go with it, for good.
END
}

yes=no
timeout=300
while [ $# -gt 0 ]; do
    case $1 in
    --yes | -y) yes=yes ;;
    --timeout)
        [ $# -ge 2 ] || fail "--timeout takes a value; see --help"
        timeout=${2%s}
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) fail "there is no $1; see --help" ;;
    esac
    shift
done
need_seconds

need_cluster
need_ours
if [ "$ours" = no ]; then
    say "there is no namespace $namespace; nothing is left to remove"
    exit 0
fi

if [ "$yes" = no ]; then
    say "This deletes the namespace $namespace with all orders, all balances, and the keys to all coins."
    printf 'Type "delete" to go on: '
    read -r answer || answer=
    [ "$answer" = delete ] || fail "nothing was removed"
fi

step "removing everything"
kubectl delete namespace "$namespace" --timeout="${timeout}s" ||
    fail "not everything is gone; kubectl get all --namespace $namespace shows what is left. It is safe to run this again"
say "Cambist is gone. Volumes that your cluster keeps when their claims are deleted are yours to remove: kubectl get pv"
