#!/bin/sh
# Make .venv with everything pinned in constraints.txt. Says which package is missing instead of failing in the middle.
set -eu
cd "$(dirname "$0")/.."

stop() {
    printf '\nsetup cannot go on: %s\n' "$1" >&2
    printf 'next: %s\n' "$2" >&2
    exit 1
}

python=""
for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if command -v "$name" >/dev/null 2>&1 &&
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$name
        break
    fi
done
[ -n "$python" ] || stop "there is no Python 3.11 or newer" \
    "install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python git), then the same again"

command -v git >/dev/null 2>&1 || stop "git is not installed" \
    "install it (Debian, Ubuntu: apt install git; macOS: brew install git), then the same again"
version=$(git --version | sed 's/[^0-9]*\([0-9]*\)\.\([0-9]*\).*/\1 \2/')
# shellcheck disable=SC2086
set -- $version
[ "$1" -gt 2 ] || { [ "$1" -eq 2 ] && [ "$2" -ge 38 ]; } || stop "git $1.$2 is too old; 2.38 is the oldest" \
    "install a newer git (Debian: from backports; Ubuntu: ppa:git-core/ppa; macOS: brew install git), then the same again"

"$python" -c 'import venv, ensurepip' 2>/dev/null || stop "$python comes without its venv module" \
    "install it (Debian, Ubuntu: apt install $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')), then the same again"

here=$(pwd -P)
[ "$(cat .venv/place 2>/dev/null)" = "$here" ] && .venv/bin/python -c '' 2>/dev/null || {
    rm -rf .venv
    echo "making .venv with $("$python" --version)"
    "$python" -m venv .venv
    echo "$here" >.venv/place
}
echo "installing the pinned packages (some seconds, once)"
pip=".venv/bin/python -m pip --disable-pip-version-check --quiet"
$pip install -c constraints.txt hatchling editables
$pip install -c constraints.txt --no-build-isolation -e '.[dev]'
echo "$here" >.venv/ready
