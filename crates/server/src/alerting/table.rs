//! Alerts as a table of SQL.

use std::sync::Arc;

use alert::{Alert, AlertId, Alerts, Filter};
use query::AlertRow;
use record::{TenantId, Timestamp};
use serde::Serialize;

/// The alerts, shown.
pub(crate) struct Shown(pub(crate) Arc<Alerts>);

impl query::Alerts for Shown {
    fn page(&self, tenant: &TenantId, after: Option<&str>, most: usize) -> Result<Vec<AlertRow>, String> {
        let (mut rows, mut after) = (Vec::new(), after.map(str::to_owned));
        loop {
            let page = self.0.list(tenant, &Filter::default(), after.as_deref(), most - rows.len());
            let page = page.map_err(|error| error.to_string())?;
            rows.extend(page.alerts.into_iter().map(|(id, alert)| row(&id, alert)));
            after = page.next;
            if after.is_none() || rows.len() >= most {
                return Ok(rows);
            }
        }
    }
}

fn row(id: &AlertId, alert: Alert) -> AlertRow {
    let instant = |ms: i64| Timestamp::from_nanos(ms.saturating_mul(1_000_000));
    AlertRow {
        id: id.as_str().to_owned(),
        device_id: alert.device_id.into(),
        rule_id: alert.rule_id.into(),
        rule: alert.rule_name,
        severity: word(alert.severity),
        state: word(alert.state),
        triggered_at: instant(alert.triggered_at_ms),
        acknowledged_at: alert.acknowledged_at_ms.map(instant),
        resolved_at: alert.resolved_at_ms.map(instant),
        why: alert.why,
        retrospective: alert.retrospective,
        suppressed: alert.suppressed.try_into().unwrap_or(i64::MAX),
    }
}

/// A word as it stands in JSON.
fn word(of: impl Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
