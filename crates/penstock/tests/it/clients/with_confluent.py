"""The registry client of confluent-kafka against a server: register, look up, compatibility, settings, deletion,
references, and its Avro, JSON and Protobuf serializers with their deserializers.

usage: with_confluent.py URL; exit 0 when everything is as the client expects it.
"""

import sys

from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    ServerConfig,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

URL = sys.argv[1]


def client():
    """A new one each time: it keeps what it has seen."""
    return SchemaRegistryClient({"url": URL, "max.retries": 0})


def refused(code, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except SchemaRegistryError as error:
        assert error.error_code == code, f"{error.error_code} instead of {code}: {error}"
        return str(error)
    raise AssertionError(f"{call.__name__}{arguments} was not refused with {code}")


def record(*fields):
    fields = ",".join(f'{{"name":"{name}","type":"{of}"{rest}}}' for name, of, rest in fields)
    return Schema(f'{{"type":"record","name":"Reading","fields":[{fields}]}}', "AVRO")


ONE = record(("ts", "long", ""), ("value", "double", ""))
TWO = record(("ts", "long", ""), ("value", "double", ""), ("unit", "string", ',"default":""'))
BROKEN = record(("ts", "string", ""), ("value", "double", ""))


def registers_and_finds():
    registry = client()
    assert registry.get_subjects() == []
    first = registry.register_schema("pumps-value", ONE)
    assert registry.register_schema("pumps-value", ONE) == first
    assert client().register_schema("other-value", ONE) == first, "the same schema, the same id"
    second = registry.register_schema("pumps-value", TWO)
    assert second != first
    assert client().get_subjects() == ["other-value", "pumps-value"]
    assert client().get_versions("pumps-value") == [1, 2]
    latest = client().get_latest_version("pumps-value")
    assert (latest.schema_id, latest.version, latest.subject) == (second, 2, "pumps-value")
    assert client().get_version("pumps-value", 1).schema.schema_str == ONE.schema_str
    assert client().get_schema(first).schema_str == ONE.schema_str
    found = client().lookup_schema("pumps-value", TWO)
    assert (found.version, found.schema_id) == (2, second)
    refused(40401, client().get_versions, "nothing")
    refused(40402, client().get_version, "pumps-value", 9)
    refused(40403, client().get_schema, 4711)
    refused(40403, client().lookup_schema, "pumps-value", BROKEN)
    refused(40401, client().lookup_schema, "nothing", ONE)
    refused(42201, client().register_schema, "pumps-value", Schema("{", "AVRO"))
    refused(42202, client().get_version, "pumps-value", "no-number")


def judges():
    registry = client()
    assert registry.get_compatibility() == "BACKWARD"
    assert registry.test_compatibility("pumps-value", TWO)
    assert not registry.test_compatibility("pumps-value", BROKEN)
    assert not registry.test_compatibility("pumps-value", BROKEN, 1)
    message = refused(409, registry.register_schema, "pumps-value", BROKEN)
    assert "TYPE_MISMATCH" in message and "/fields/ts" in message, message
    refused(40408, registry.get_config, "pumps-value")
    registry.set_compatibility("pumps-value", "NONE")
    assert registry.get_compatibility("pumps-value") == "NONE"
    assert registry.get_config("pumps-value").compatibility_level == ConfigCompatibilityLevel.NONE
    assert registry.test_compatibility("pumps-value", BROKEN)
    registry.set_config(config=ServerConfig(compatibility=ConfigCompatibilityLevel.FULL_TRANSITIVE))
    assert client().get_config().compatibility_level == ConfigCompatibilityLevel.FULL_TRANSITIVE
    registry.set_config(config=ServerConfig(compatibility=ConfigCompatibilityLevel.BACKWARD))
    refused(42203, registry.set_compatibility, "pumps-value", "SOMETIMES")


def deletes():
    registry = client()
    assert registry.delete_version("pumps-value", 2) == 2
    assert client().get_versions("pumps-value") == [1]
    refused(40402, client().get_version, "pumps-value", 2)
    assert registry.delete_subject("other-value") == [1]
    assert client().get_subjects() == ["pumps-value"]
    refused(40404, registry.delete_subject, "other-value")
    assert registry.delete_subject("pumps-value", permanent=False) == [1]
    assert client().get_subjects() == []
    assert registry.delete_subject("pumps-value", permanent=True) in ([1], [1, 2])
    refused(40401, client().get_versions, "pumps-value")
    assert client().register_schema("pumps-value", TWO) > 0


def refers():
    registry = client()
    registry.register_schema("point", Schema('{"type":"record","name":"a.Point","fields":[{"name":"x","type":"double"}]}', "AVRO"))
    line = '{"type":"record","name":"a.Line","fields":[{"name":"from","type":"a.Point"}]}'
    refused(42201, registry.register_schema, "line", Schema(line, "AVRO"))
    registry.register_schema("line", Schema(line, "AVRO", [SchemaReference("a.Point", "point", 1)]))
    latest = client().get_latest_version("line")
    assert [(one.name, one.subject, one.version) for one in latest.schema.references] == [("a.Point", "point", 1)]
    refused(42206, registry.delete_version, "point", 1)


def round_trip(name, serializer, deserializer, value):
    context = SerializationContext(name, MessageField.VALUE)
    data = serializer(value, context)
    assert data[0] == 0, "the wire format's first byte"
    back = deserializer(data, context)
    assert back == value, (back, value)
    subject = f"{name}-value"
    assert client().get_latest_version(subject).schema_id == int.from_bytes(data[1:5], "big")


def serializes():
    value = {"ts": 1_700_000_000, "value": 21.5}
    round_trip("avro", AvroSerializer(client(), ONE.schema_str), AvroDeserializer(client()), value)
    text = '{"title":"Reading","type":"object","properties":{"ts":{"type":"integer"},"value":{"type":"number"}},"required":["ts"]}'
    round_trip("json", JSONSerializer(text, client()), JSONDeserializer(text, schema_registry_client=client()), value)
    file = descriptor_pb2.FileDescriptorProto(name="reading.proto", package="pumps", syntax="proto3")
    message = file.message_type.add(name="Reading")
    optional = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    message.field.add(name="ts", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64, label=optional)
    message.field.add(name="value", number=2, type=descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE, label=optional)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    Reading = message_factory.GetMessageClass(pool.FindMessageTypeByName("pumps.Reading"))
    serializer = ProtobufSerializer(Reading, client(), {"use.deprecated.format": False})
    deserializer = ProtobufDeserializer(Reading, {"use.deprecated.format": False}, client())
    round_trip("protobuf", serializer, deserializer, Reading(ts=1_700_000_000, value=21.5))
    as_text = 'syntax = "proto3"; package pumps; message Reading { int64 ts = 1; double value = 2; }'
    found = client().lookup_schema("protobuf-value", Schema(as_text, "PROTOBUF"))
    assert found.version == 1, "the text and the descriptor are one schema"


registers_and_finds()
judges()
deletes()
refers()
serializes()
