"""paho-mqtt as a subscriber that keeps its session, and as a publisher at QoS 2.

paho_client.py PORT VERSION leave                subscribe with clean start off, then leave
paho_client.py PORT VERSION publish FROM TO      publish the numbers FROM..TO at QoS 2, wait until all are complete
paho_client.py PORT VERSION return COUNT         come back: the session is there; print every message that arrives
paho_client.py PORT VERSION stay COUNT           subscribe, say "ready", stay through whatever happens; print messages
"""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, version, phase, *rest = sys.argv[1:]
v5 = version == "5"
TOPIC = "real/paho" + version.replace(".", "")
LIMIT = 30


def fail(why):
    print(f"paho {version} {phase}: {why}", file=sys.stderr, flush=True)
    sys.exit(1)


def make(role):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"paho-{version}-{role}",
                         protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311, **({} if v5 else {"clean_session": False}))
    client.reconnect_delay_set(1, 1)
    return client


def connect(client):
    """Connects with the session kept; returns whether it was present."""
    done, present = threading.Event(), []

    def on_connect(_client, _data, flags, reason, _properties):
        if reason.is_failure:
            fail(f"refused: {reason}")
        present.append(flags.session_present)
        done.set()

    client.on_connect = on_connect
    options = {}
    if v5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        options = {"clean_start": False, "properties": properties}
    client.connect("127.0.0.1", int(port), keepalive=20, **options)
    client.loop_start()
    if not done.wait(LIMIT):
        fail("no CONNACK")
    return present[0]


def subscribe(client):
    done = threading.Event()
    client.on_subscribe = lambda *_: done.set()
    client.subscribe(TOPIC, qos=2)
    if not done.wait(LIMIT):
        fail("no SUBACK")


def leave(client):
    client.disconnect()
    client.loop_stop()


def receive(client, count):
    """Prints what arrives until `count` did, and for a moment longer: what comes twice comes soon."""
    messages, enough = [], threading.Event()

    def on_message(_client, _data, message):
        messages.append((message.payload.decode(), message.qos))
        if len(messages) >= count:
            enough.set()

    client.on_message = on_message
    return messages, enough


def drain(client, messages, enough):
    enough.wait(LIMIT)
    threading.Event().wait(0.5)
    leave(client)
    for payload, qos in messages:
        print(payload, qos)


if phase == "leave":
    client = make("keeper")
    if connect(client):
        fail("a session was present that nobody had")
    subscribe(client)
    leave(client)
elif phase == "publish":
    client = make("publisher")
    connect(client)
    infos = [client.publish(TOPIC, str(number), qos=2) for number in range(int(rest[0]), int(rest[1]))]
    for info in infos:
        info.wait_for_publish(LIMIT)
        if not info.is_published():
            fail("a publish was not completed")
    leave(client)
elif phase in ("return", "stay"):
    client = make("keeper")
    messages, enough = receive(client, int(rest[0]))
    present = connect(client)
    if phase == "return" and not present:
        fail("the session was not present")
    if phase == "stay":
        subscribe(client)
        print("ready", flush=True)
    drain(client, messages, enough)
else:
    fail("no such phase")
