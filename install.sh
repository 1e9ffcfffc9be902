#!/bin/sh
# Installs Cambist into the current Kubernetes cluster: `. install.sh` or `./install.sh`, in bash, zsh or sh; `--help` tells the rest.
# The work is done by a process of its own: nothing of it ends the shell that this is typed into, or stays in it.
(
    if [ -n "${BASH_VERSION:-}" ]; then
        # shellcheck disable=SC3028,SC3054,SC2128
        here=$BASH_SOURCE
    elif [ -n "${ZSH_VERSION:-}" ]; then
        eval 'here=${(%):-%x}'
    else
        # Other shells do not say what they source; then this is the folder that it is typed in.
        here=$0
    fi
    folder=$(dirname -- "$here")
    [ -f "$folder/deploy/install.sh" ] || folder=.
    if [ ! -f "$folder/deploy/install.sh" ]; then
        echo "install.sh: go into Cambist's folder first" >&2
        exit 1
    fi
    exec sh "$folder/deploy/install.sh" "$@"
)
