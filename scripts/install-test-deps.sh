#!/usr/bin/env bash
# Installs what `make test` needs beside Rust: real MQTT clients and tools. Quick when everything is there.
#
#   Debian packages: mosquitto, mosquitto-clients, curl, openssl, python3-venv, nodejs, npm, e2fsprogs,
#     postgresql-client, chromium, prometheus (its promtool), gcc and libmosquitto-dev
#   in a folder of the user's cache: paho-mqtt, confluent-kafka, psycopg, duckdb, moto and aiosmtpd (PyPI) in a venv; mqtt.js, playwright-core,
#     axe-core and azurite (npm)
#
# Prints the folder; tests find it as $PENSTOCK_TEST_DEPS.
set -euo pipefail

paho=2.1.0
mqttjs=5.14.1
confluent=2.15.0
psycopg=3.3.9
duckdb=2.0.1
playwright=1.60.0 # 1.65 wants Node 20; Debian 12 has 18
axe=4.14.1
moto=5.2.5
aiosmtpd=1.4.6
azurite=3.35.0 # 3.37 wants Node 22; Debian 12 has 18
deps=${PENSTOCK_TEST_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock/test-deps}
stamp="$deps/paho-$paho-mqttjs-$mqttjs-confluent-$confluent-psycopg-$psycopg-duckdb-$duckdb-playwright-$playwright-axe-$axe-moto-$moto-aiosmtpd-$aiosmtpd-azurite-$azurite"

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
PATH=$PATH:/usr/sbin:/sbin
need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need curl curl
need openssl openssl
need python3 python3
need node nodejs
need npm npm
need mkfs.ext4 e2fsprogs
need psql postgresql-client
need chromium chromium
need promtool prometheus
need gcc gcc
[ -e /usr/include/mosquitto.h ] || missing+=(libmosquitto-dev)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || { echo "install these (the names are Debian's), then run again: ${missing[*]}" >&2; exit 1; }
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "install as root, then run again: ${missing[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    echo "installing ${missing[*]}" >&2
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    # Debian starts the servers it installs; the broker even on the port that the demo wants.
    for server in mosquitto prometheus; do
        if [[ " ${missing[*]} " == *" $server "* ]] && [ -d /run/systemd/system ]; then
            "${as_root[@]}" systemctl disable --now "$server" >&2 || true
        fi
    done
fi

if [ ! -e "$stamp" ]; then
    mkdir -p "$deps"
    python3 -m venv "$deps/venv" >&2
    # The client of schema registries, with its serializers; librdkafka comes inside.
    # DuckDB reads the store's files as others do. Moto is a peer that speaks S3, Azurite one that speaks Azure's
    # interface, aiosmtpd one that takes e-mail.
    "$deps/venv/bin/pip" install --quiet "paho-mqtt==$paho" "duckdb==$duckdb" "moto[s3,server]==$moto" "aiosmtpd==$aiosmtpd" \
        "confluent-kafka[avro,json,protobuf,schemaregistry]==$confluent" "psycopg[binary]==$psycopg" >&2
    npm install --silent --no-audit --no-fund --prefix "$deps" "mqtt@$mqttjs" \
        "playwright-core@$playwright" "axe-core@$axe" "azurite@$azurite" >&2
    touch "$stamp"
fi
echo "$deps"
