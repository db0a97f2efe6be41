//! Windows whose readings changed after they were published: computed again from the stored readings.
//!
//! It happens in the commit after the one that stored the readings, so that the store's points are all there is to
//! look at. Until then the windows wait in the state of their partition, and so survive a crash.

use std::collections::BTreeMap;

use record::{DeviceId, MetricName, TenantId, Timestamp, ValueRef};
use series::{Result, SeriesReader, VoidWindows, WindowKey, WindowRow, WriteBatch};

use crate::output::Revision;
use crate::window::{self, Aggregate, Session};

/// How far a session's surroundings are looked at first, in gaps; doubled until the session's ends are found.
const SURROUNDINGS: i64 = 16;
/// Stop looking for a session's ends beyond this many gaps: a series without any pause is one endless session, which
/// is then computed from this much of it.
const FARTHEST: i64 = 1 << 16;

type Series = (TenantId, DeviceId, MetricName);
/// A series' values by time. Several readings of one time have different sequence numbers.
type Points = Vec<(i64, f64)>;

/// Puts the results of the windows to revise into `batch`, and voids those that are no more.
pub(crate) fn rows(store: &dyn SeriesReader, revisions: &[Revision], batch: &mut WriteBatch) -> Result<()> {
    let mut by_device: BTreeMap<(TenantId, DeviceId), Vec<&Revision>> = BTreeMap::new();
    for revision in revisions {
        let device = (revision.key.tenant.clone(), revision.key.device.clone());
        by_device.entry(device).or_default().push(revision);
    }
    let (mut windows, mut void) = (Vec::new(), Vec::new());
    let few = &mut batch.revised_windows;
    for ((tenant, device), revisions) in by_device {
        let (sessions, fixed): (Vec<_>, Vec<_>) = revisions.into_iter().partition(|r| r.gap_nanos.is_some());
        fixed_windows(store, (&tenant, &device), fixed, (&mut windows, few), &mut void)?;
        for session in sessions {
            let series = (tenant.clone(), device.clone(), session.key.metric.clone());
            sessions_around(store, &series, session, &mut windows, &mut void)?;
        }
    }
    // Several spans of one session give the same row.
    windows.sort_by(|a, b| a.key.cmp(&b.key));
    windows.dedup_by(|a, b| a.key == b.key);
    batch.windows.append(&mut windows);
    batch.void_windows.append(&mut void);
    Ok(())
}

/// Windows of a device that lie near each other are read in one go, of all its metrics.
fn fixed_windows(
    store: &dyn SeriesReader,
    (tenant, device): (&TenantId, &DeviceId),
    mut revisions: Vec<&Revision>,
    (out, few): (&mut Vec<WindowRow>, &mut Vec<WindowRow>),
    void: &mut Vec<VoidWindows>,
) -> Result<()> {
    revisions.sort_unstable_by_key(|revision| (revision.key.start, revision.end));
    let mut rest = &revisions[..];
    while let Some(first) = rest.first() {
        let (near, end) = near(rest);
        let mut metrics: Vec<MetricName> =
            rest[..near].iter().map(|revision| revision.key.metric.clone()).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let mut points = vec![Points::new(); metrics.len()];
        let mut put = |metric: usize, time: Timestamp, value: ValueRef<'_>| {
            points[metric].extend(value.as_f64().map(|value| (time.nanos(), value)));
        };
        store.device_points(tenant, device, &metrics, first.key.start..end, &mut put)?;
        for points in &mut points {
            points.sort_unstable_by_key(|&(time, _)| time);
        }
        for revision in &rest[..near] {
            let metric = metrics.binary_search(&revision.key.metric).expect("it is one of them");
            let points = &points[metric];
            let from = points.partition_point(|&(time, _)| time < revision.key.start.nanos());
            let to = points.partition_point(|&(time, _)| time < revision.end.nanos());
            match window::aggregate(points[from..to].iter().copied()) {
                Some(aggregate) => {
                    let row = row(revision.key.clone(), revision.end, &aggregate);
                    // One is there all the same where fewer were enough before, or a number of it was corrected to a text.
                    if row.count < revision.least { few.push(row) } else { out.push(row) }
                }
                // Its last number was corrected to a text.
                None => {
                    let until = Timestamp::from_nanos(revision.key.start.nanos().saturating_add(1));
                    void.push(VoidWindows { key: revision.key.clone(), until });
                }
            }
        }
        rest = &rest[near..];
    }
    Ok(())
}

/// How many windows, by rising start, follow one another with no gap that is longer than what they span, and where they end.
fn near(revisions: &[&Revision]) -> (usize, Timestamp) {
    let (start, mut end) = (revisions[0].key.start.nanos(), revisions[0].end);
    let mut count = 0;
    for revision in revisions {
        if revision.key.start.nanos() > end.nanos().saturating_add(end.nanos() - start) {
            break;
        }
        end = end.max(revision.end);
        count += 1;
    }
    (count, end)
}

/// The sessions that touch a span of time. Readings never leave a series, so sessions only grow: those that stood there
/// before begin within one of these.
fn sessions_around(
    store: &dyn SeriesReader,
    series: &Series,
    revision: &Revision,
    out: &mut Vec<WindowRow>,
    void: &mut Vec<VoidWindows>,
) -> Result<()> {
    let gap = revision.gap_nanos.unwrap_or_default().max(1);
    let (start, end) = (revision.key.start.nanos(), revision.end.nanos());
    let mut reach = SURROUNDINGS;
    let found = loop {
        let from = start.saturating_sub(gap.saturating_mul(reach));
        let to = end.saturating_add(gap.saturating_mul(reach));
        let points = points(store, series, Timestamp::from_nanos(from), Timestamp::from_nanos(to))?;
        let mut near = window::sessions(points, gap);
        near.retain(|session| session.start <= end && start <= session.end);
        // One that begins or ends within a gap of the edge may go on beyond it.
        let is_whole = |session: &Session| {
            session.start.saturating_sub(gap) >= from && session.end <= to.saturating_sub(gap)
        };
        if reach >= FARTHEST || near.iter().all(is_whole) {
            break near;
        }
        reach *= 2;
    };
    for session in found {
        let key = WindowKey { start: Timestamp::from_nanos(session.start), ..revision.key.clone() };
        let end = Timestamp::from_nanos(session.end);
        void.push(VoidWindows { key: key.clone(), until: end });
        if session.aggregate.count >= revision.least {
            out.push(row(key, end, &session.aggregate));
        }
    }
    Ok(())
}

fn points(store: &dyn SeriesReader, series: &Series, from: Timestamp, to: Timestamp) -> Result<Points> {
    let (tenant, device, metric) = series;
    let mut points = Points::new();
    store.points(tenant, device, metric, from..to, &mut |point| {
        points.extend(point.value.as_ref().as_f64().map(|value| (point.time.nanos(), value)));
        true
    })?;
    Ok(points)
}

/// The row of a result.
pub(crate) fn row(key: WindowKey, end: Timestamp, of: &Aggregate) -> WindowRow {
    WindowRow {
        key,
        end,
        count: of.count,
        sum: of.sum,
        min: of.min,
        max: of.max,
        stddev: of.stddev,
        p95: of.p95,
        first: of.first,
        last: of.last,
        revised: false,
    }
}
