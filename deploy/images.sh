# shellcheck shell=sh disable=SC2154
# Which image is installed, and how a local cluster gets it. Sourced by install.sh; `image` and `work` are set there.

# What `cargo xtask image` calls what it builds.
local_image=cambist:local

# The program that keeps images here, with the id of the image $1 in `id`. Fails where there is none.
find_local() {
    for engine in docker podman buildah; do
        command -v $engine >/dev/null 2>&1 || continue
        case $engine in
        buildah) id=$(buildah inspect --type=image --format='{{.FromImageID}}' "$1" 2>/dev/null) || continue ;;
        *) id=$($engine image inspect --format='{{.Id}}' "$1" 2>/dev/null) || continue ;;
        esac
        [ -n "$id" ] && return 0
    done
    return 1
}

# Which kind of cluster on this machine the current one is, in `cluster`; empty for any other.
find_cluster() {
    cluster=
    case ${context:-} in
    kind-*) cluster=kind ;;
    k3d-*) cluster=k3d ;;
    minikube) cluster=minikube ;;
    *)
        version=$(kubectl get nodes --output='jsonpath={.items[0].status.nodeInfo.kubeletVersion}' 2>/dev/null) || version=
        case $version in
        *+k3s*) ! command -v k3s >/dev/null 2>&1 || cluster=k3s ;;
        esac
        ;;
    esac
}

# Puts the local image $1 into the cluster, under a name of its content: what has changed is started anew, and nothing else.
load() {
    short=$(printf '%s' "${id#sha256:}" | cut -c 1-12)
    image=docker.io/library/cambist:$short
    $engine tag "$1" "$image"
    case $engine in
    buildah) buildah push --quiet "$image" "docker-archive:$work/image.tar:$image" ;;
    podman) podman save --quiet --format=docker-archive --output="$work/image.tar" "$image" ;;
    docker) docker save --output="$work/image.tar" "$image" ;;
    esac
    case $cluster in
    kind) kind load image-archive "$work/image.tar" --name="${context#kind-}" ;;
    k3d) k3d image import "$work/image.tar" --cluster="${context#k3d-}" ;;
    minikube) minikube image load "$work/image.tar" ;;
    k3s) k3s ctr images import "$work/image.tar" ;;
    esac || fail "the image could not be loaded into $cluster"
    rm -f "$work/image.tar"
    say "$1 is loaded into $cluster as $image"
}

# Whether a registry has the image $1: 0 it has, 1 it has not, 2 nobody here can tell, for the reason in `why`. Only a registry that
# answers and does not know the image has it not: this machine may lack the password or the way there that the cluster has.
in_registry() {
    why=
    for asked in skopeo docker podman buildah; do
        command -v $asked >/dev/null 2>&1 || continue
        case $asked in
        skopeo) said=$(skopeo inspect --raw "docker://$1" 2>&1 >/dev/null) && return 0 ;;
        docker) said=$(docker manifest inspect "$1" 2>&1 >/dev/null) && return 0 ;;
        *) said=$($asked manifest inspect "docker://$1" 2>&1 >/dev/null) && return 0 ;;
        esac
        case $said in
        *"executable file not found"*) ;; # That is a helper for passwords.
        *"manifest unknown"* | *"no such manifest"* | *"name unknown"* | *"not found"*) return 1 ;;
        esac
        why=${why:-$asked: ${said:-nothing was said}}
    done
    why=${why:-none of skopeo, docker, podman and buildah is here}
    return 2
}

# Sets `image` to what the pods will run, and makes sure that it is there before anything is applied.
choose_image() {
    find_cluster
    wanted=${image:-$local_image}
    if [ -n "$cluster" ] && find_local "$wanted"; then
        load "$wanted"
        return
    fi
    if [ -z "$image" ]; then
        [ -z "$cluster" ] || fail "there is no image $local_image here; build it: cargo xtask image"
        fail "this cluster is not on this machine. Build the image, push it where the cluster can pull it, and name it: \
cargo xtask image; install.sh --image registry.example.com/cambist:0.1.0"
    fi
    found=0
    in_registry "$image" || found=$?
    case $found in
    1) fail "there is no image $image that can be pulled from here" ;;
    2) say "$image (it could not be checked that this can be pulled; $why)" ;;
    *) say "$image" ;;
    esac
}
