#!/usr/bin/env bash
# mosquitto_pub and mosquitto_sub, in the same phases as paho_client.py:
#   mosquitto_client.sh PORT VERSION leave | publish FROM TO | return COUNT | stay COUNT
set -euo pipefail
port=$1 version=$2 phase=$3
topic=real/mosquitto${version//./}
common=(-h 127.0.0.1 -p "$port" -t "$topic" -q 2)
if [ "$version" = 5 ]; then common+=(-V mqttv5); else common+=(-V mqttv311); fi
keeper=(-i "mosquitto-$version-keeper" -c)
if [ "$version" = 5 ]; then keeper+=(-x 3600); fi
case $phase in
leave) mosquitto_sub "${common[@]}" "${keeper[@]}" -E ;;
publish) seq "$4" "$(($5 - 1))" | mosquitto_pub "${common[@]}" -i "mosquitto-$version-publisher" -l ;;
# One more than there should be: exit 27 is the time limit, which is what must end it.
return)
    mosquitto_sub "${common[@]}" "${keeper[@]}" -F '%p %q' -C "$(($4 + 1))" -W 4 || [ $? = 27 ]
    ;;
stay)
    { stdbuf -oL mosquitto_sub -d "${common[@]}" "${keeper[@]}" -F '%p %q' -C "$(($4 + 1))" -W 12 || [ $? = 27 ]; } |
        while IFS= read -r line; do
            case $line in
            Subscribed*) [ -n "${ready:-}" ] || { ready=1; echo ready; } ;;
            [0-9]*' '[0-2]) echo "$line" ;;
            esac
        done
    ;;
*) echo "no such phase" >&2; exit 1 ;;
esac
