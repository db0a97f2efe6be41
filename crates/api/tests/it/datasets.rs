//! Data sets: who may do what with them, and what is asked.

use std::sync::Arc;

use axum::http::StatusCode;
use penstock_api::{Dataset, DatasetError, DatasetState, Datasets, Order};
use query::{Engine, Sql};
use serde_json::json;
use series::Amounts;

use crate::{Rig, at, readings};

/// One data set, `tried`, over this store.
pub(crate) struct Held(pub(crate) Arc<series::Sqlite>);

fn dataset(name: &str) -> Dataset {
    Dataset {
        name: name.to_owned(),
        state: DatasetState::Running,
        since: Some(at(60)),
        started_at: at(61),
        ended_at: None,
        done: 2,
        total: 3,
        amounts: Amounts { accepted: 2, stored: 2, ..Amounts::default() },
    }
}

impl Datasets for Held {
    fn start(&self, order: Order) -> Result<Dataset, DatasetError> {
        match &*order.config {
            "" => Ok(Dataset { since: order.since, ..dataset(&order.name) }),
            "wrong" => Err(DatasetError::Refused("stream.windows: wrong".into())),
            _ => Err(DatasetError::Conflict("another is running".into())),
        }
    }

    fn list(&self) -> Vec<Dataset> {
        vec![dataset("tried")]
    }

    fn remove(&self, name: &str) -> Result<(), DatasetError> {
        if name == "tried" { Ok(()) } else { Err(DatasetError::Missing) }
    }

    fn sql(&self, name: &str) -> Option<Arc<dyn Sql>> {
        (name == "tried").then(|| Arc::new(Engine::new(self.0.clone()).unwrap()) as Arc<dyn Sql>)
    }
}

#[tokio::test]
async fn the_installations_own_tenant_makes_them_and_each_tenant_asks_for_its_rows() {
    let rig = Rig::new();
    rig.write(0, readings(&["d1"]));
    let order = json!({ "name": "a-1", "config": "", "since": "1970-01-01T00:00:07Z" });
    let (status, begun) = rig.post_as("default", "/v1/reprocess", &order).await;
    assert_eq!((status, &begun["name"]), (StatusCode::ACCEPTED, &json!("a-1")));
    assert_eq!((&begun["state"], &begun["since"]), (&json!("running"), &json!("1970-01-01T00:00:07Z")));
    assert_eq!(
        (&begun["progress"], &begun["counts"]["stored"]),
        (&json!({ "done": 2, "total": 3 }), &json!(2))
    );
    let (status, listed) = rig.get_as("default", "/v1/reprocess").await;
    assert_eq!((status, &listed["datasets"][0]["name"]), (StatusCode::OK, &json!("tried")));
    // Others may not, and learn nothing of it.
    assert_eq!(rig.post_as("acme", "/v1/reprocess", &order).await.0, StatusCode::FORBIDDEN);
    assert_eq!(rig.get_as("acme", "/v1/reprocess").await.0, StatusCode::FORBIDDEN);

    let count = json!({ "query": "SELECT count(*) AS n FROM telemetry", "dataset": "tried" });
    for (tenant, rows) in [("acme", 1), ("default", 0), ("other", 0)] {
        let (status, table) = rig.post_as(tenant, "/v1/sql", &count).await;
        assert_eq!((status, &table["rows"][0]["n"]), (StatusCode::OK, &json!(rows)), "{tenant}");
    }
    let nowhere = json!({ "query": "SELECT 1", "dataset": "../series" });
    assert_eq!(rig.post_as("acme", "/v1/sql", &nowhere).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_order_that_cannot_be_is_refused() {
    let rig = Rig::new();
    let long = "x".repeat(41);
    for name in ["", "-a", "A", "a/b", "..", "a.b", "ä", &long] {
        let (status, said) =
            rig.post_as("default", "/v1/reprocess", &json!({ "name": name, "config": "" })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name:?}: {said}");
    }
    let fine = "x".repeat(40);
    for (order, expected) in [
        (json!({ "name": fine, "config": "" }), StatusCode::ACCEPTED),
        (json!({ "name": "a", "config": "wrong" }), StatusCode::BAD_REQUEST),
        (json!({ "name": "a", "config": "", "since": "then" }), StatusCode::BAD_REQUEST),
        (json!({ "name": "a", "config": "other" }), StatusCode::CONFLICT),
        (json!({ "name": "a" }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (status, said) = rig.post_as("default", "/v1/reprocess", &order).await;
        assert_eq!(status, expected, "{order}: {said}");
    }
}
