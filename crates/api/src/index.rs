//! `/`: until the web interface is there, a page that says what is. And the same for programs.

use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};

use crate::Asker;

pub(crate) async fn page(_asker: Asker) -> Html<&'static str> {
    Html(PAGE)
}

/// What the API takes and answers, for programs.
pub(crate) async fn openapi(_asker: Asker) -> Response {
    ([(CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

const PAGE: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Penstock</title>
<style>body{font:16px/1.5 system-ui;max-width:44em;margin:3em auto;padding:0 1em}td{padding:.2em 1em .2em 0;vertical-align:top}
code{white-space:nowrap}</style>
<h1>Penstock</h1>
<p>Telemetry from fleets of devices, without losing or doubling a reading. There is no web interface yet; this is what
answers on this port:</p>
<table>
<tr><td><code>POST /v1/telemetry</code><td>readings in: <code>{"device_id","metric","value","ts"}</code>, one, an array or NDJSON
<tr><td><code>POST /write</code>, <code>/api/v2/write</code><td>readings in, InfluxDB line protocol
<tr><td><code>POST /v1/sql</code><td><code>{"query":"SELECT …","params":[…]}</code> over <code>telemetry</code>, <code>devices</code>, <code>aggregations</code>, <code>late</code>, <code>corrections</code>, <code>dlq</code>, <code>ledger</code>
<tr><td><code>GET /v1/query</code><td><code>?device_id=&amp;metric=&amp;start=&amp;end=</code>, points of one series
<tr><td><code>GET <a href="/v1/devices">/v1/devices</a></code><td>devices; <code>/v1/devices/{id}</code>, <code>/v1/devices/{id}/latest</code>; <code>PUT</code> and <code>PATCH /v1/devices/{id}</code> register facts
<tr><td><code>GET <a href="/v1/ledger">/v1/ledger</a></code><td>what became of every reading; <a href="/v1/ledger/verify"><code>/v1/ledger/verify</code></a>
<tr><td><code>GET <a href="/v1/dlq">/v1/dlq</a></code><td>dead letters; <code>/v1/dlq/{id}</code>; <code>POST /v1/dlq/replay</code> tries them again
<tr><td><code>GET <a href="/v1/cardinality">/v1/cardinality</a></code><td>how many devices and series, and what makes them up
<tr><td><code>GET <a href="/v1/reprocess">/v1/reprocess</a></code><td>history under another configuration; <code>POST</code> starts one, <code>DELETE /v1/reprocess/{name}</code> removes it
<tr><td><code>GET <a href="/subjects">/subjects</a></code><td>schemas, by the Confluent Schema Registry interface: <code>/schemas</code>, <code>/config</code>, …
<tr><td><code>GET <a href="/health/live">/health/live</a></code>, <code><a href="/health/ready">/health/ready</a></code><td>health
<tr><td><code>GET <a href="/metrics">/metrics</a></code><td>figures for Prometheus
<tr><td><code>GET <a href="/v1/openapi.json">/v1/openapi.json</a></code><td>all of it for programs
</table>
</html>
"#;
