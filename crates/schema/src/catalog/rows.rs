//! The catalog in the metadata: rows of the table `schemas` (docs/formats/metadata.md).

use std::collections::HashMap;

use metadata::{Change, Metadata, Row, Table};
use record::TenantId;
use serde::{Deserialize, Serialize};

use super::state::{Entry, Placed, State};
use crate::compiled::Identity;
use crate::error::{Error, Result};
use crate::model::{Level, Mode, Schema, SchemaId};

/// A row to write, or to take away.
#[derive(Clone, Debug)]
pub(super) enum Written {
    Schema(SchemaId, Identity, Schema),
    NoSchema(SchemaId),
    Version {
        subject: String,
        version: u32,
        placed: Placed,
    },
    NoVersion {
        subject: String,
        version: u32,
    },
    /// Of a subject, or of the tenant.
    Settings(Option<String>, Settings),
    /// The largest id ever given.
    LastId(u32),
}

/// What is set for a subject or a tenant. Without anything the row goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compatibility: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<Mode>,
}

#[derive(Serialize, Deserialize)]
struct StoredSchema {
    sha256: String,
    #[serde(flatten)]
    schema: Schema,
}

#[derive(Serialize, Deserialize)]
struct LastId {
    id: u32,
}

pub(super) fn change(tenant: &TenantId, written: &Written) -> Change {
    let put = |id: String, body: serde_json::Result<Vec<u8>>| {
        let body = body.expect("strings and numbers are always JSON");
        Change::Put(Table::Schemas, Row { tenant: tenant.as_str().to_owned(), id, body })
    };
    let delete =
        |id: String| Change::Delete { table: Table::Schemas, tenant: tenant.as_str().to_owned(), id };
    match written {
        Written::Schema(id, identity, schema) => {
            let stored = StoredSchema { sha256: hex(identity), schema: schema.clone() };
            put(schema_id(*id), serde_json::to_vec(&stored))
        }
        Written::NoSchema(id) => delete(schema_id(*id)),
        Written::Version { subject, version, placed } => {
            put(version_id(subject, *version), serde_json::to_vec(placed))
        }
        Written::NoVersion { subject, version } => delete(version_id(subject, *version)),
        Written::Settings(subject, settings) => {
            let id = subject.as_ref().map_or("settings".into(), |subject| format!("settings/{subject}"));
            match *settings == Settings::default() {
                true => delete(id),
                false => put(id, serde_json::to_vec(settings)),
            }
        }
        Written::LastId(id) => put("last-id".into(), serde_json::to_vec(&LastId { id: *id })),
    }
}

fn schema_id(id: SchemaId) -> String {
    format!("schema/{:010}", id.0)
}

fn version_id(subject: &str, version: u32) -> String {
    format!("version/{version:010}/{subject}")
}

/// Everything, of all tenants.
pub(super) fn load(metadata: &dyn Metadata) -> Result<HashMap<TenantId, State>> {
    let mut tenants: HashMap<TenantId, State> = HashMap::new();
    let mut failed = None;
    metadata.scan(Table::Schemas, None, &mut |row| {
        let read = TenantId::parse(&row.tenant)
            .map_err(|error| error.to_string())
            .and_then(|tenant| take(tenants.entry(tenant).or_default(), &row));
        failed = read.err().map(|reason| Error::Row { tenant: row.tenant, id: row.id, reason });
        failed.is_none()
    })?;
    failed.map_or(Ok(tenants), Err)
}

fn take(state: &mut State, row: &Row) -> std::result::Result<(), String> {
    let (kind, rest) = row.id.split_once('/').unwrap_or((&row.id, ""));
    match kind {
        "schema" => {
            let stored: StoredSchema = body(row)?;
            let identity = unhex(&stored.sha256).ok_or("its sha256 is none")?;
            state.put_schema(SchemaId(number(rest)?), Entry::new(identity, stored.schema));
        }
        "version" => {
            let (version, subject) = rest.split_once('/').ok_or("its id names no subject")?;
            state.put_version(subject, number(version)?, body(row)?);
        }
        "settings" => {
            let subject = row.id.strip_prefix("settings/").map(str::to_owned);
            state.put_settings(subject, body(row)?);
        }
        "last-id" => state.put_last_id(body::<LastId>(row)?.id),
        _ => return Err("its id is of no kind known: upgrade Penstock first".into()),
    }
    Ok(())
}

fn body<'r, T: Deserialize<'r>>(row: &'r Row) -> std::result::Result<T, String> {
    serde_json::from_slice(&row.body).map_err(|error| error.to_string())
}

fn number(text: &str) -> std::result::Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn hex(bytes: &Identity) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Identity> {
    let mut identity = Identity::default();
    if text.len() != 2 * identity.len() || !text.is_ascii() {
        return None;
    }
    for (n, byte) in identity.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(identity)
}
