# For benchmarks to source, from the project's root: a server of their own on free ports, in a folder of its own, which ends with the
# script. BINARY=path takes one already built; else the release is built.

penstock=${BINARY:-${CARGO_TARGET_DIR:-target}/release/penstock}
[ -n "${BINARY:-}" ] || cargo build --release -p penstock

work=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    rm -rf "$work"
}
trap cleanup EXIT

export PENSTOCK__GATEWAY__MQTT__LISTEN=127.0.0.1:0 PENSTOCK__GATEWAY__WEBSOCKET__LISTEN=127.0.0.1:0
export PENSTOCK__HTTP__LISTEN=127.0.0.1:0 PENSTOCK__PGWIRE__LISTEN=127.0.0.1:0

# Starts it on an empty folder, with further options, and waits until it is ready.
serve() {
    rm -rf "$work/data" "$work/ready"
    "$penstock" serve --data "$work/data" --ready-file "$work/ready" "$@" 2>"$work/log" & server=$!
    for _ in $(seq 300); do [ -e "$work/ready" ] && return; sleep 0.1; done
    cat "$work/log" >&2
    exit 1
}
# Where it listens: mqtt, http.
address() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/ready"; }
# Its processor seconds.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$server/stat"; }
