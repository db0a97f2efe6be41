//! The stages of a message's readings: time, series, validate, deduplicate, windows.
//!
//! Readings of one device and moment go through the stages together, as rows of the tenant's columns: the rows that are
//! kept move up over those that are not.

use std::collections::HashMap;
use std::ops::Range;

use log::Lane;
use record::{DeviceId, DeviceNo, MetricNo, Readings, TenantId, TimeOrigin, Timestamp, When};
use series::same;
use series::{ClockRow, Key, LateRow};

use crate::answers::{Answers, Held, Unanswered};
use crate::budget::Counted;
use crate::dedup::{self, Fate, Moment};
use crate::devices::{Series, Translation};
use crate::output::{Bench, Output};
use crate::sample::Shed;
use crate::validate::Verdict;
use crate::window::{Published, Stale};

use super::Pipeline;
use super::message::Message;
use super::pending::Touched;

/// Working memory, kept from one message to the next.
#[derive(Default)]
pub(super) struct Memory {
    translations: Vec<(TenantId, Translation)>,
    series: Vec<Series>,
    /// The rows of the moment at hand that go on, from its first row; and as the judge sees them.
    going_on: Vec<usize>,
    judged: Vec<dedup::Row>,
    fates: Vec<Fate>,
    /// Series and value of readings for the open windows.
    values: Vec<(u32, f64)>,
    stale: Vec<Stale>,
    /// Readings of the step so far, whatever becomes of them.
    pub(super) readings: u64,
    pub(super) published: Vec<Published>,
}

impl Memory {
    /// The batch in hand may be another one now.
    pub(super) fn begin_run(&mut self) {
        self.translations.clear();
    }
}

/// What the readings of one moment share.
struct Shared {
    rows: Range<usize>,
    when: When,
    device: u32,
    /// The live watermark before the message.
    watermark: i64,
    is_late: bool,
    /// Whether they go into open windows; if not, theirs are computed again.
    is_in_time: bool,
}

impl Pipeline {
    /// Takes the message's rows through the stages, moment by moment. What is left of them stands at the end of the
    /// bench's readings.
    pub(super) fn readings(
        &mut self,
        message: &mut Message<'_>,
        bench: &mut Bench,
        answers: &mut dyn Answers,
        output: &mut Output,
    ) -> Result<(), Unanswered> {
        let rows = message.rows.clone();
        if rows.is_empty() {
            return Ok(());
        }
        self.memory.readings += rows.len() as u64;
        message.number_clockless(&mut bench.readings);
        let mut translation = self.translation(message.tenant, &bench.readings);
        let watermark = self.state.books.watermark.at();
        let (mut next, mut kept) = (rows.start, rows.start);
        let mut outcome = Ok(());
        while next < rows.end {
            let end = bench.readings.end_of_moment(next, message.until(next));
            let moment = (next..end, watermark);
            match self.moment(message, moment, &mut kept, bench, &mut translation, answers, output) {
                Ok(()) => next = end,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        bench.readings.truncate_rows(kept);
        self.memory.translations.push((message.tenant.clone(), translation));
        outcome
    }

    fn translation(&mut self, tenant: &TenantId, readings: &Readings) -> Translation {
        let known = self.memory.translations.iter().position(|(of, _)| of == tenant);
        match known {
            Some(at) => {
                let mut translation = self.memory.translations.swap_remove(at).1;
                translation.extend(readings);
                translation
            }
            None => {
                let mut translation = Translation::new();
                self.state.books.devices.begin(tenant.as_str(), readings, &mut translation);
                translation
            }
        }
    }

    /// The stages of the readings of one device and moment.
    #[expect(clippy::too_many_arguments, reason = "the stages share what the caller lends them")]
    fn moment(
        &mut self,
        message: &mut Message<'_>,
        (rows, watermark): (Range<usize>, i64),
        kept: &mut usize,
        bench: &mut Bench,
        translation: &mut Translation,
        answers: &mut dyn Answers,
        output: &mut Output,
    ) -> Result<(), Unanswered> {
        if !message.is_concerned(rows.start) {
            return Ok(());
        }
        message.amounts.accepted += rows.len() as i64;
        let Some(device) = self.device(message, &rows, bench, translation, answers)? else { return Ok(()) };
        let when = self.time(message, device, &rows, bench, output);
        self.series(message, device, &rows, bench, translation, answers)?;
        self.validate(message, &rows, &when, bench, output);
        self.judge(message, device, (&rows, *kept), &when, bench, answers, output)?;
        let lateness = self.settings.allowed_lateness_nanos;
        let is_live = message.lane == Lane::Live;
        let is_late = is_live && when.time.nanos() < watermark.saturating_sub(lateness);
        let is_in_time = is_live && !is_late;
        let shared = Shared { rows, when, device, watermark, is_late, is_in_time };
        self.keep(message, &shared, kept, bench, output);
        if is_live {
            self.state.books.watermark.observe(when.time.nanos(), when.arrived_at.nanos());
        }
        Ok(())
    }

    /// The device's number; `None` when the budget has no room for it, and its readings are dead.
    fn device(
        &mut self,
        message: &mut Message<'_>,
        rows: &Range<usize>,
        bench: &Bench,
        translation: &mut Translation,
        answers: &mut dyn Answers,
    ) -> Result<Option<u32>, Unanswered> {
        let no = bench.readings.device_column()[rows.start];
        if let Some(number) = self.state.books.devices.find(&bench.readings, no, translation) {
            return Ok(Some(number));
        }
        let tenant = message.tenant.as_str();
        let (newest, metrics) = answers.device(tenant, bench.readings.device_name(no))?;
        if newest.is_none()
            && let Some(reason) =
                self.over_budget(message.tenant, bench.readings.device_name(no), None, answers)?
        {
            rows.clone().for_each(|row| message.dead(row, "budget", reason.clone()));
            return Ok(None);
        }
        let arrived_at = bench.readings.arrived_at_column()[rows.start];
        let number = self.state.books.devices.add(tenant, &bench.readings, no, arrived_at, true, translation);
        self.state.remember_device(number, newest);
        for metric in metrics {
            let series = self.state.books.devices.add_series_named(number, &metric, arrived_at);
            self.state.remember_series(&self.settings, series.number);
        }
        Ok(Some(number))
    }

    /// When it happened, as far as the device's clock is to be believed.
    fn time(
        &mut self,
        message: &mut Message<'_>,
        device: u32,
        rows: &Range<usize>,
        bench: &mut Bench,
        output: &mut Output,
    ) -> When {
        let claimed = bench.readings.when(rows.start).expect("a moment has a row");
        if claimed.origin == TimeOrigin::Server {
            return claimed;
        }
        if message.tells_time {
            let device_no = bench.readings.device_column()[rows.start];
            if message.device_seen != Some(device_no) {
                message.device_seen = Some(device_no);
                let latest = latest_claimed(&bench.readings, device_no, rows.start..message.rows.end);
                self.state.observe_clock(device, latest, claimed.arrived_at);
                self.tell_clock(message.tenant, device, output);
            }
        }
        let when = self.state.time(device, &self.settings.clock, claimed);
        if when != claimed {
            bench.readings.set_when(rows.clone(), when);
        }
        when
    }

    fn tell_clock(&mut self, tenant: &TenantId, device: u32, output: &mut Output) {
        if let Some((skew_nanos, suspect)) = self.state.clock_news(device, &self.settings.clock) {
            let id = self.state.books.devices.device_name(device).1;
            let device = DeviceId::parse(id).expect("a device was checked when its record was read");
            output.batch.clocks.push(ClockRow { tenant: tenant.clone(), device, skew_nanos, suspect });
        }
    }

    /// The series of each row, into the working memory; new ones join the table if the budget has room.
    fn series(
        &mut self,
        message: &mut Message<'_>,
        device: u32,
        rows: &Range<usize>,
        bench: &Bench,
        translation: &mut Translation,
        answers: &mut dyn Answers,
    ) -> Result<(), Unanswered> {
        let readings = &bench.readings;
        let arrived_at = readings.arrived_at_column()[rows.start];
        let mut series = std::mem::take(&mut self.memory.series);
        series.clear();
        let missing = self.state.books.devices.series(
            device,
            readings,
            rows.clone(),
            arrived_at,
            translation,
            &mut series,
        );
        if missing > 0 {
            self.know_all_series(device, arrived_at, answers)?;
            for (row, found) in rows.clone().zip(&mut series).filter(|(_, found)| found.is_missing()) {
                let metric = readings.metric_column()[row];
                let name = readings.metric_name(metric);
                let known = self.state.books.devices.series_len();
                let over = self.too_many_series(message.tenant, device);
                let added =
                    self.state.books.devices.add_series(device, readings, metric, arrived_at, translation);
                if self.state.books.devices.series_len() > known {
                    let id = self.state.books.devices.device_name(device).1.to_owned();
                    let over = match over {
                        None => self.over_budget(message.tenant, &id, Some(name), answers)?,
                        over => over,
                    };
                    if let Some(reason) = over {
                        self.state.books.devices.remove_series(device, added);
                        translation.forget_metric(metric);
                        message.dead(row, "budget", reason);
                        continue;
                    }
                    self.state.remember_series(&self.settings, added.number);
                }
                *found = added;
            }
        }
        self.memory.series = series;
        Ok(())
    }

    /// A device that lost series it had not used for long is asked about again before one counts as new.
    fn know_all_series(
        &mut self,
        device: u32,
        arrived_at: Timestamp,
        answers: &mut dyn Answers,
    ) -> Result<(), Unanswered> {
        if self.state.books.devices.is_whole(device) {
            return Ok(());
        }
        let (tenant, id) = self.state.books.devices.device_name(device);
        let (_, metrics) = answers.device(tenant, id)?;
        for metric in metrics {
            let known = self.state.books.devices.series_len();
            let series = self.state.books.devices.add_series_named(device, &metric, arrived_at);
            if self.state.books.devices.series_len() > known {
                self.state.remember_series(&self.settings, series.number);
            }
        }
        self.state.books.devices.set_whole(device);
        Ok(())
    }

    /// Which rows go on: those whose values may be, and that no sampling policy leaves out.
    fn validate(
        &mut self,
        message: &mut Message<'_>,
        rows: &Range<usize>,
        when: &When,
        bench: &Bench,
        output: &mut Output,
    ) {
        let Memory { series, going_on, .. } = &mut self.memory;
        let validator = &mut self.state.books.validator;
        going_on.clear();
        let waited = message.waited_nanos();
        for (at, found) in series.iter().enumerate().filter(|(_, found)| !found.is_missing()) {
            let shed = self
                .state
                .samples
                .get(found.number as usize)
                .and_then(|sample| sample.sheds(Moment::of(when), waited));
            if let Some(why) = shed {
                message.amounts.shed += 1;
                match why {
                    Shed::Sampled => output.tally.shed += 1,
                    Shed::Behind => output.tally.shed_behind += 1,
                }
                continue;
            }
            let row = rows.start + at;
            let value = bench.readings.value(row).and_then(|value| value.as_f64());
            let verdict =
                value.map(|value| validator.check(&self.settings.limits, found.number, when.time, value));
            match verdict {
                None | Some(Verdict::Good) => {}
                Some(Verdict::Counted(_)) => output.tally.beyond_limits += 1,
                Some(Verdict::Rejected(violation)) => {
                    let metric = bench.readings.metric_name(bench.readings.metric_column()[row]);
                    message.dead(row, "validate", violation.of(metric).to_string());
                    continue;
                }
            }
            going_on.push(at);
        }
    }

    /// Why the tenant has no room for one more device, or metric of a device; `None` when it has.
    fn over_budget(
        &mut self,
        tenant: &TenantId,
        device: &str,
        metric: Option<&str>,
        answers: &mut dyn Answers,
    ) -> Result<Option<String>, Unanswered> {
        let (counted, id) = match metric {
            None => (Counted::Device, device),
            Some(metric) => (Counted::Series, metric),
        };
        let is_admitted = answers.admitted(tenant, counted, id)?;
        Ok((!is_admitted).then(|| self.settings.budget.spent(tenant, counted).to_string()))
    }

    /// Why the device may not have one more series; `None` when it may.
    fn too_many_series(&self, tenant: &TenantId, device: u32) -> Option<String> {
        let most = self.settings.budget.limits(tenant).series_per_device;
        let has = self.state.books.devices.series_of(device) as u64;
        (most != 0 && has >= most).then(|| {
            let id = self.state.books.devices.device_name(device).1;
            format!(
                "device {id} has {has} metrics, as many as one device may have: are values part of their names? \
                 If not, raise max_series_per_device"
            )
        })
    }

    /// What was there before, and what differs: a fate for each row that goes on.
    #[expect(clippy::too_many_arguments, reason = "the stages share what the caller lends them")]
    fn judge(
        &mut self,
        message: &Message<'_>,
        device: u32,
        (rows, kept): (&Range<usize>, usize),
        when: &When,
        bench: &mut Bench,
        answers: &mut dyn Answers,
        output: &mut Output,
    ) -> Result<(), Unanswered> {
        let Memory { series, going_on, judged, fates, .. } = &mut self.memory;
        judged.clear();
        fates.clear();
        for &at in going_on.iter() {
            let value = bench.readings.value(rows.start + at).expect("the row is of the moment");
            judged.push(dedup::Row { slot: series[at].slot, digest: dedup::digest(value) });
        }
        let recent = self.state.recent(device);
        let (tenant, asked_of_all) = (message.tenant.as_str(), &mut output.tally.asked);
        let mut before = Before::default();
        recent.judge(Moment::of(when), judged, self.settings.recent_keys, fates, |asked, held| {
            *asked_of_all += asked.len() as u64;
            for &nth in asked {
                let row = rows.start + going_on[nth];
                let of_moment = before.find(&bench.readings, rows.start, going_on, nth);
                let there = of_moment.or_else(|| bench.fresh.find(&bench.readings, row, kept));
                held.push(held_of(tenant, row, there, &bench.readings, when, answers)?);
            }
            Ok(())
        })
    }

    /// Moves the rows to keep up, and adds them to the windows and to the account.
    fn keep(
        &mut self,
        message: &mut Message<'_>,
        moment: &Shared,
        kept: &mut usize,
        bench: &mut Bench,
        output: &mut Output,
    ) {
        let Memory { series, going_on, fates, values, stale, .. } = &mut self.memory;
        values.clear();
        let time = moment.when.time.nanos();
        let amounts = &mut message.amounts;
        for (&at, &fate) in going_on.iter().zip(fates.iter()) {
            if fate == Fate::Duplicate {
                amounts.duplicate += 1;
                continue;
            }
            let row = moment.rows.start + at;
            bench.readings.move_row(row, *kept);
            if moment.is_late {
                amounts.late += 1;
                let watermark = Timestamp::from_nanos(moment.watermark);
                output.late(message.tenant, LateRow { row: *kept as u32, watermark });
            } else {
                amounts.stored += 1;
            }
            amounts.corrected += i64::from(fate == Fate::Correction);
            output.tally.kept += 1;
            output.tally.corrections += u64::from(fate == Fate::Correction);
            let value = bench.readings.value(*kept).and_then(|value| value.as_f64());
            *kept += 1;
            match (value, fate) {
                (Some(value), Fate::New) if moment.is_in_time => values.push((series[at].number, value)),
                // A correction may take a number away.
                (Some(_), _) | (None, Fate::Correction) => {
                    self.state.windows.revise(series[at].number, time, stale);
                }
                (None, _) => {}
            }
        }
        let until_arrival = time.min(moment.when.arrived_at.nanos());
        self.state.books.newest_event = self.state.books.newest_event.max(until_arrival);
        output.tally.duplicates += fates.iter().filter(|fate| **fate == Fate::Duplicate).count() as u64;
        self.state.windows.add_row(values, time);
        for window in stale.drain(..) {
            let Stale { series, window, start, end } = window;
            self.state.books.pending.add(Touched { series, window, start, end });
        }
        debug_assert!(self.state.books.devices.series_of(moment.device) > 0 || going_on.is_empty());
    }
}

/// The latest time that a device claims in the rows.
fn latest_claimed(readings: &Readings, device: DeviceNo, rows: Range<usize>) -> Timestamp {
    let of_device = rows.filter(|&row| readings.device_column()[row] == device);
    let whens =
        of_device.filter_map(|row| readings.when(row)).filter(|when| when.origin == TimeOrigin::Device);
    whens.map(|when| when.claimed).max().unwrap_or_default()
}

/// Rows of the moment at hand that stand before another: the same metric may come twice, and then the one before counts,
/// though it is not among the kept ones yet.
#[derive(Default)]
struct Before {
    last: HashMap<MetricNo, usize>,
    seen: usize,
}

impl Before {
    /// The last row before the `nth` that goes on, of the same metric. To be asked by rising `nth`.
    fn find(
        &mut self,
        readings: &Readings,
        first_row: usize,
        going_on: &[usize],
        nth: usize,
    ) -> Option<usize> {
        for &at in &going_on[self.seen.min(nth)..nth] {
            self.last.insert(readings.metric_column()[first_row + at], first_row + at);
        }
        self.seen = self.seen.max(nth);
        self.last.get(&readings.metric_column()[first_row + going_on[nth]]).copied()
    }
}

/// What batch and store hold under the key of a row that the state cannot judge. `there`: its row in the batch.
fn held_of(
    tenant: &str,
    row: usize,
    there: Option<usize>,
    readings: &Readings,
    when: &When,
    answers: &mut dyn Answers,
) -> Result<Held, Unanswered> {
    let value = readings.value(row).expect("the row is of the moment");
    if let Some(there) = there {
        let before = readings.value(there).expect("a row before this one");
        return Ok(if same(before, value) { Held::Same } else { Held::Other });
    }
    let key = Key {
        tenant,
        device: readings.device_name(readings.device_column()[row]),
        metric: readings.metric_name(readings.metric_column()[row]),
        claimed: when.claimed,
        seq: when.seq,
    };
    answers.held(&key, value)
}
