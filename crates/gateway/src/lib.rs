//! The sockets of devices: MQTT over TCP, TLS and WebSocket, and HTTP ingest.
