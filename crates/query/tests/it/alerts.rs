//! The table `alerts`.

use std::sync::Arc;

use parking_lot::Mutex;
use penstock_query::{AlertRow, Alerts, Cache, Engine, Limits, Query};
use record::{TenantId, Timestamp, Value};

use crate::{reading, rig};

/// Alerts of the tenant `default`, the latest first.
#[derive(Default)]
struct Book(Mutex<Vec<AlertRow>>);

impl Alerts for Book {
    fn page(&self, tenant: &TenantId, after: Option<&str>, most: usize) -> Result<Vec<AlertRow>, String> {
        let rows = self.0.lock();
        if tenant.as_str() == "broken" {
            return Err("the disk is gone".into());
        }
        let rows = rows.iter().filter(|_| tenant.as_str() == "default");
        Ok(rows.skip_while(|row| after.is_some_and(|after| *row.id >= *after)).take(most).cloned().collect())
    }
}

fn alert(n: i64) -> AlertRow {
    AlertRow {
        id: format!("{n:06}"),
        device_id: format!("d{}", n % 3),
        rule_id: "hot".into(),
        rule: "Too hot".into(),
        severity: "critical".into(),
        state: if n % 2 == 0 { "resolved" } else { "raised" }.into(),
        triggered_at: Timestamp::from_nanos(n * 1_000_000_000),
        resolved_at: (n % 2 == 0).then(|| Timestamp::from_nanos((n + 60) * 1_000_000_000)),
        why: format!("{n} > 80"),
        ..AlertRow::default()
    }
}

fn engine(book: &Arc<Book>) -> (crate::Rig, Query) {
    let rig = rig(Limits::default());
    let cache = Arc::new(Cache::new(1 << 20));
    let engine = Engine::new(rig.store.clone()).unwrap().with_cache(cache);
    let engine = engine.with_alerts(Arc::clone(book) as Arc<dyn Alerts>);
    let query = Query::new(rig.store.clone(), rig.store.clone(), Arc::new(engine), Limits::default());
    (rig, query)
}

fn ask(query: &Query, tenant: &str, statement: &str) -> Result<String, String> {
    let table = query.sql(&TenantId::parse(tenant).unwrap(), statement, &[]);
    table.map(|table| table.to_csv().replace("\r\n", "\n")).map_err(|error| error.to_string())
}

#[test]
fn alerts_are_a_table_beside_the_others() {
    let book = Arc::new(Book::default());
    // More than a page.
    *book.0.lock() = (0..20_000).rev().map(alert).collect();
    let (rig, query) = engine(&book);
    rig.write(vec![reading("default", "d1", "m", 5_000_000_000, Value::Int(1))]);
    let cases = [
        ("SELECT count(*) AS n, count(resolved_at) AS over FROM alerts", "n,over\n20000,10000\n"),
        (
            "SELECT id, device_id, state, triggered_at, resolved_at, why FROM alerts \
             WHERE device_id = 'd1' AND triggered_at < '1970-01-01T00:00:05Z' ORDER BY id DESC",
            "id,device_id,state,triggered_at,resolved_at,why\n\
             000004,d1,resolved,1970-01-01T00:00:04Z,1970-01-01T00:01:04Z,4 > 80\n\
             000001,d1,raised,1970-01-01T00:00:01Z,,1 > 80\n",
        ),
        ("SELECT id FROM alerts LIMIT 2", "id\n019999\n019998\n"),
        (
            "SELECT a.id, t.metric FROM alerts a JOIN telemetry t USING (device_id) \
             WHERE a.triggered_at = t.time - INTERVAL '1 second'",
            "id,metric\n000004,m\n",
        ),
    ];
    for (statement, expected) in cases {
        assert_eq!(ask(&query, "default", statement).as_deref(), Ok(expected), "{statement}");
    }
    // Another tenant sees none, and what cannot be read is said.
    assert_eq!(ask(&query, "acme", "SELECT count(*) AS n FROM alerts").as_deref(), Ok("n\n0\n"));
    let told = ask(&query, "broken", "SELECT * FROM alerts").unwrap_err();
    assert!(told.contains("reading alerts") && told.contains("the disk is gone"), "{told}");
}

/// No write of the store says that there is another alert, so answers that name the table are not kept.
#[test]
fn a_new_alert_shows_at_once() {
    let book = Arc::new(Book::default());
    let (_rig, query) = engine(&book);
    for n in 0..3 {
        let counted = ask(&query, "default", "SELECT count(*) AS n FROM alerts");
        assert_eq!(counted, Ok(format!("n\n{n}\n")));
        book.0.lock().insert(0, alert(n));
    }
}
