//! `GET /v1/ledger` and `/v1/ledger/verify`: the account of every reading.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Parameters, State};
use axum::http::StatusCode;
use log::{Lane, Log, PartitionId, Topic};
use query::{By, Check, Line, rfc3339};
use record::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use series::{Amounts, Covered};

use crate::sql::time;
use crate::{Ask, Asker, Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    since: Option<String>,
    until: Option<String>,
    by: Option<String>,
}

impl Asked {
    fn minutes(&self) -> Result<std::ops::Range<Timestamp>, Problem> {
        let since = time("since", self.since.as_deref())?.unwrap_or(Timestamp::from_nanos(i64::MIN));
        let until = time("until", self.until.as_deref())?.unwrap_or(Timestamp::from_nanos(i64::MAX));
        if since > until {
            return Err(Problem::bad_request("since lies after until"));
        }
        Ok(since..until)
    }

    fn by(&self) -> Result<By, Problem> {
        match self.by.as_deref() {
            None | Some("topic") => Ok(By::Topic),
            Some("minute") => Ok(By::Minute),
            Some("total") => Ok(By::Total),
            Some(other) => {
                Err(Problem::bad_request(format!("by: {other:?} is none of topic, minute and total")))
            }
        }
    }
}

type AskedFor = Result<Parameters<Asked>, QueryRejection>;

pub(crate) async fn show(
    State(shared): Ask,
    Asker(tenant): Asker,
    asked: AskedFor,
) -> Result<Json<Value>, Problem> {
    let Parameters(asked) = asked?;
    let (minutes, by) = (asked.minutes()?, asked.by()?);
    let (ledger, figures) =
        shared.ask(move |query| Ok((query.ledger(&tenant, minutes, by)?, query.figures()?))).await?;
    // The log is asked after the store, so that what was taken in between counts as in flight and nothing is missing.
    let in_flight =
        in_flight(&*shared.parts.log, &figures.partitions).map_err(|error| log_problem(&error))?;
    let records: u64 = in_flight.iter().map(|&(_, records)| records).sum();
    let partitions = in_flight.iter().filter(|&&(_, records)| records > 0).map(|&(partition, records)| {
        let lane = if partition.lane == Lane::Live { "live" } else { "backfill" };
        let topic = partition.topic.name();
        json!({ "topic": topic, "lane": lane, "partition": partition.index, "records": records })
    });
    Ok(Json(json!({
        "lines": ledger.lines.iter().map(line).collect::<Vec<_>>(),
        "totals": Value::Object(amounts(&ledger.totals)),
        "in_flight": { "records": records, "partitions": partitions.collect::<Vec<_>>() },
        "balanced": ledger.reasons.is_empty(),
        "reasons": ledger.reasons,
    })))
}

pub(crate) async fn verify(
    State(shared): Ask,
    Asker(tenant): Asker,
    asked: AskedFor,
) -> Result<Json<Value>, Problem> {
    let Parameters(asked) = asked?;
    if asked.by.is_some() {
        return Err(Problem::bad_request("a verification looks at every line by itself: leave `by` out"));
    }
    let minutes = asked.minutes()?;
    let verdict = shared.ask(move |query| query.verify(&tenant, minutes)).await?;
    let check = |check: &Check| {
        json!({
            "equation": check.equation,
            "account": check.account,
            "found": check.found,
            "holds": check.holds(),
        })
    };
    Ok(Json(json!({
        "balanced": verdict.balanced(),
        "checks": verdict.checks.iter().map(check).collect::<Vec<_>>(),
        "reasons": verdict.reasons,
    })))
}

/// For every partition of telemetry, how many records the store has not got the outcome of.
fn in_flight(log: &dyn Log, covered: &[Covered]) -> log::Result<Vec<(PartitionId, u64)>> {
    let lanes = [Lane::Live, Lane::Backfill];
    let partitions = lanes.into_iter().flat_map(|lane| {
        (0..log.partitions(Topic::Raw)).map(move |index| PartitionId { topic: Topic::Raw, lane, index })
    });
    let waiting = partitions.map(|partition| {
        let extent = log.extent(partition)?;
        let covered = covered.iter().find(|covered| {
            let source = covered.source;
            (source.topic, source.lane, source.partition)
                == (partition.topic as u8, partition.lane, partition.index)
        });
        let next = covered.map_or(extent.start, |covered| covered.next);
        Ok((partition, extent.end.saturating_sub(next)))
    });
    waiting.collect()
}

fn line(line: &Line) -> Value {
    let mut object = serde_json::Map::new();
    object.extend(line.topic.as_ref().map(|topic| ("topic".to_owned(), json!(topic))));
    object.extend(line.minute.map(|minute| ("minute".to_owned(), json!(rfc3339(minute)))));
    object.append(&mut amounts(&line.amounts));
    Value::Object(object)
}

/// By the names of the table `ledger`.
pub(crate) fn amounts(amounts: &Amounts) -> serde_json::Map<String, Value> {
    let named = [
        ("records", amounts.records),
        ("accepted", amounts.accepted),
        ("stored", amounts.stored),
        ("duplicate", amounts.duplicate),
        ("corrected", amounts.corrected),
        ("dead_lettered", amounts.dead),
        ("late", amounts.late),
        ("shed", amounts.shed),
        ("residue", amounts.residue()),
    ];
    named.map(|(name, amount)| (name.to_owned(), json!(amount))).into_iter().collect()
}

/// What the log said, for who asked.
pub(crate) fn log_problem(error: &log::Error) -> Problem {
    tracing::error!(%error, "the log did not do what a request asked of it");
    // The details name files of this machine: they are for the operator's log.
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the log cannot be used now; try again")
}
