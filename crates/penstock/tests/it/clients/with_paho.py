"""paho-mqtt against a server: persistent sessions, cut connections, QoS 2, WebSocket.

usage: with_paho.py MQTT_PORT WEBSOCKET_PORT; exit 0 when everything is as the standard says.
"""

import socket
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MQTT_PORT, WEBSOCKET_PORT = int(sys.argv[1]), int(sys.argv[2])
PATIENCE = 30


class Client:
    """A client that remembers what it got."""

    def __init__(self, client_id, version, clean=False, transport="tcp"):
        options = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=version, transport=transport, **options
        )
        self.client.reconnect_delay_set(0.1, 1)
        self.version, self.clean = version, clean
        self.port = WEBSOCKET_PORT if transport == "websockets" else MQTT_PORT
        self.got, self.present, self.changed = [], None, threading.Condition()
        self.acknowledged = set()
        self.client.on_publish = lambda _c, _d, mid, *_: self.note(acknowledged=mid)
        self.client.on_connect = self.on_connect
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda *_: self.note()
        self.subscribed = 0

    def on_connect(self, _client, _data, flags, reason, _properties):
        assert not reason.is_failure, reason
        self.note(present=flags.session_present)

    def on_message(self, _client, _data, message):
        self.note(message=message.payload.decode())

    def note(self, present=None, message=None, acknowledged=None):
        with self.changed:
            if acknowledged is not None:
                self.acknowledged.add(acknowledged)
            elif present is not None:
                self.present = present
            elif message is not None:
                self.got.append(message)
            else:
                self.subscribed += 1
            self.changed.notify_all()

    def until(self, what, condition):
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"{what}; got {self.got[-5:]} of {len(self.got)}"

    def connect(self):
        self.present = None
        options = {}
        if self.version == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 300
            options = {"clean_start": self.clean, "properties": properties}
        self.client.connect("127.0.0.1", self.port, 30, **options)
        self.client.loop_start()
        self.until("a CONNACK", lambda: self.present is not None)
        return self

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        self.until("a SUBACK", lambda: self.subscribed > 0)

    def publish(self, topic, payload, qos):
        """Without a connection paho keeps the message and sends it later."""
        return self.client.publish(topic, payload, qos).mid

    def all_acknowledged(self, mids):
        self.until("every acknowledgement", lambda: self.acknowledged >= set(mids))

    def disconnect(self):
        self.client.disconnect()
        self.client.loop_stop()

    def cut(self):
        """The network goes away without a word; the client comes back by itself.

        Only while it is connected: when two attempts to connect fail in a row, paho 2.1 publishes again what it has had
        the PUBREC of (_messages_reconnect_reset_out forgets that it was to send PUBREL), which no server can tell from
        a new message.
        """
        with self.changed:
            self.changed.wait_for(self.client.is_connected, PATIENCE)
        try:
            self.client.socket().shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass


def sessions(version, name):
    """What is published while a subscriber is away waits for it, once, in order for each QoS ([MQTT-4.6.0-6])."""
    subscriber = Client(f"sub-{name}", version).connect()
    assert not subscriber.present
    subscriber.subscribe(f"chat/{name}", 2)
    subscriber.disconnect()

    publisher = Client(f"pub-{name}", version).connect()
    sent = [f"{n}" for n in range(50)]
    publisher.all_acknowledged([publisher.publish(f"chat/{name}", text, 1 + n % 2) for n, text in enumerate(sent)])
    publisher.disconnect()

    subscriber.connect()
    assert subscriber.present, "the session was not kept"
    subscriber.until("all that was published meanwhile", lambda: len(subscriber.got) >= len(sent))
    for qos in (1, 2):
        assert [n for n in subscriber.got if 1 + int(n) % 2 == qos] == sent[qos - 1 :: 2], subscriber.got
    subscriber.disconnect()


def cuts(version, name):
    """Exactly once holds over connections that are cut on both sides."""
    subscriber = Client(f"csub-{name}", version).connect()
    subscriber.subscribe(f"cut/{name}", 2)
    publisher = Client(f"cpub-{name}", version).connect()
    mids = []
    for n in range(300):
        mids.append(publisher.publish(f"cut/{name}", str(n), 2))
        if n % 60 == 30:
            publisher.cut()
        if n % 60 == 50:
            subscriber.cut()
        time.sleep(0.002)  # so that the cuts fall among the messages
    publisher.all_acknowledged(mids)
    subscriber.until("every message", lambda: len(set(subscriber.got)) == len(mids))
    time.sleep(0.3)  # for one too many to show
    assert sorted(map(int, subscriber.got)) == list(range(len(mids))), "QoS 2 came more than once"
    publisher.disconnect()
    subscriber.disconnect()


def websocket():
    client = Client("paho-ws", mqtt.MQTTv5, clean=True, transport="websockets")
    client.client.ws_set_options(path="/mqtt")
    client.connect()
    client.all_acknowledged([client.publish("devices/paho-ws/telemetry", '{"ts":1700000000,"metrics":{"m":1}}', 1)])
    client.disconnect()


for version, name in [(mqtt.MQTTv311, "v3"), (mqtt.MQTTv5, "v5")]:
    sessions(version, name)
    cuts(version, name)
websocket()
