#!/usr/bin/env bash
# priv/run on a Debian 12 with nothing on it but Python: in a root of its own, made by debootstrap. Needs to be run as root.
#
#   tests/packaging/bare_debian.sh demo          sets up and shows; then once more without a network
#   tests/packaging/bare_debian.sh test [...]    sets up and runs tox, with further arguments for it
set -euo pipefail

readonly SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly BARE="$(mktemp -d)"
readonly PROJECT=root/work/dspex_erl

clean_up() {
    umount "$BARE/proc" "$BARE/dev/pts" 2>/dev/null || true
    rm -rf --one-file-system "$BARE"
}
trap clean_up EXIT

[[ $EUID -eq 0 ]] || {
    echo "bare_debian.sh: expected to be run as root" >&2
    exit 1
}
command -v debootstrap >/dev/null || apt-get install --yes -qq debootstrap

debootstrap --variant=minbase --include=python3,ca-certificates bookworm "$BARE" >/dev/null
mount -t proc proc "$BARE/proc"
mount -t devpts devpts "$BARE/dev/pts" 2>/dev/null || true
# The network of this machine, and whom it trusts.
cp /etc/resolv.conf /etc/hosts "$BARE/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$BARE/etc/ssl/certs/"
mkdir -p "$BARE/root/work"
git clone --quiet "$SOURCE" "$BARE/$PROJECT"
[[ ! -d "$SOURCE/../shared" ]] || cp -r "$SOURCE/../shared" "$BARE/root/work/"

inside() {
    "${WRAP[@]}" chroot "$BARE" /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        PIP_CERT=/etc/ssl/certs/ca-certificates.crt "/$PROJECT/priv/run" "$@" </dev/null
}

WRAP=(env)
inside "$@"
if [[ "$1" == demo ]]; then
    echo "==> once more, without a network"
    WRAP=(unshare --net)
    inside "$@"
fi
