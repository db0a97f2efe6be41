#!/usr/bin/env bash
# The web interface (web/): built into web/dist, which is kept under version control and becomes part of the binary, so that
# a build of Penstock needs no Node.
#
#   scripts/web.sh build    types are checked, web/dist is made anew
#   scripts/web.sh check    the same aside, and compared with web/dist; where there is no Node 18 or later it says so and ends well
set -euo pipefail
cd "$(dirname "$0")/../web"

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 18 ] || ! command -v npm >/dev/null; then
    echo "web: no Node 18 or later here" >&2
    [ "${1:-}" = check ] && { echo "web: web/dist was not compared with its sources" >&2; exit 0; }
    exit 1
fi

# What is installed is what the lock file says; again only when it says something else.
installed=node_modules/.installed
if ! cmp -s package-lock.json "$installed"; then
    npm ci --silent --no-audit --no-fund
    cp package-lock.json "$installed"
fi

case "${1:-}" in
build)
    npm run --silent build
    ;;
check)
    aside=$(mktemp -d)
    trap 'rm -rf "$aside"' EXIT
    npm run --silent check
    npx vite build --outDir "$aside" --emptyOutDir --logLevel error
    if ! diff -rq "$aside" dist; then
        echo "web: web/dist is not what its sources make: run \`make web\` and commit it" >&2
        exit 1
    fi
    # A host in the lock file would be asked by everybody.
    if grep -q '"resolved"' package-lock.json; then
        echo "web: package-lock.json names hosts: web/.npmrc says not to" >&2
        exit 1
    fi
    ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "../scripts/web.sh" >&2
    exit 2
    ;;
esac
