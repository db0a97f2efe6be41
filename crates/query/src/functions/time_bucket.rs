//! `time_bucket(width, time [, timezone] [, origin or offset])`: the start of the bucket a time lies in.
//!
//! Buckets are counted from an origin: Monday 2000-01-03, or January 2000 for months and years. With a time zone they are cut
//! by its clocks, so a day is 23 or 25 hours long where the clocks change, and of an hour that comes twice there are two buckets.

use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute::kernels::cast_utils::{
    parse_interval_month_day_nano, string_to_timestamp_nanos,
};
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::calendar::{Cut, Width};

pub(super) const NAME: &str = "time_bucket";

const USAGE: &str =
    "write time_bucket(width, time), with a time zone and an origin or offset behind it if need be";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if !(2..=4).contains(&given.len()) {
            return plan_err!("{USAGE}");
        }
        types(NAME, given)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.get(1) {
            Some(time) => Ok(time.clone()),
            None => plan_err!("{USAGE}"),
        }
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [width, time, rest @ ..] = &call.args[..] else { return exec_err!("{USAGE}") };
        let constants = std::iter::once(width).chain(rest).map(constant).collect::<Result<Vec<_>>>()?;
        let cut = cut(&constants)?;
        apply(cut.as_ref(), time)
    }
}

/// The types the arguments of a function are turned into: the width, the time, and what else there is.
pub(crate) fn types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let [width, time, rest @ ..] = given else { return plan_err!("{USAGE}") };
    let mut types = vec![constant_type(name, width)?];
    types.push(match time {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
        DataType::Date32 | DataType::Date64 => DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
            DataType::Timestamp(TimeUnit::Nanosecond, Some(series::scan::UTC.into()))
        }
        other => return plan_err!("{name} takes a time, not {other}"),
    });
    for extra in rest {
        types.push(constant_type(name, extra)?);
    }
    Ok(types)
}

fn constant_type(name: &str, given: &DataType) -> Result<DataType> {
    Ok(match given {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
        DataType::Date32 | DataType::Date64 => DataType::Timestamp(TimeUnit::Nanosecond, None),
        other => return plan_err!("{name}: {other} is no width, time or time zone"),
    })
}

pub(crate) fn constant(argument: &ColumnarValue) -> Result<ScalarValue> {
    match argument {
        ColumnarValue::Scalar(value) => Ok(value.clone()),
        ColumnarValue::Array(array) if array.len() == 1 => ScalarValue::try_from_array(array, 0),
        ColumnarValue::Array(_) => {
            exec_err!("time_bucket: width, time zone, origin and offset are constants")
        }
    }
}

/// How a width and what follows the time cut the line of time; `None` when one of them is NULL.
pub(crate) fn cut(constants: &[ScalarValue]) -> Result<Option<Cut>> {
    if constants.iter().any(ScalarValue::is_null) {
        return Ok(None);
    }
    let [width, rest @ ..] = constants else { return exec_err!("{USAGE}") };
    let width = interval(width)?.ok_or_else(|| exec_datafusion_err!("{width} is no width of a bucket"))?;
    let mut cut = Cut::new(Width::of(width)?);
    for extra in rest {
        if let ScalarValue::TimestampNanosecond(Some(nanos), _) = extra {
            cut.origin(*nanos)?;
        } else if let Some(zone) = zone(extra) {
            cut.zone(zone);
        } else if let Ok(Some(offset)) = interval(extra) {
            cut.offset(offset)?;
        } else if let ScalarValue::Utf8(Some(text)) = extra {
            let nanos = string_to_timestamp_nanos(text).map_err(|_| {
                exec_datafusion_err!("{text:?} is no time zone (such as 'Europe/Berlin'), origin or offset")
            })?;
            cut.origin(nanos)?;
        } else {
            return exec_err!("{USAGE}");
        }
    }
    Ok(Some(cut))
}

pub(crate) fn zone(value: &ScalarValue) -> Option<Tz> {
    match value {
        ScalarValue::Utf8(Some(name)) => name.parse().ok(),
        _ => None,
    }
}

pub(super) fn interval(value: &ScalarValue) -> Result<Option<IntervalMonthDayNano>> {
    match value {
        ScalarValue::IntervalMonthDayNano(interval) => Ok(*interval),
        ScalarValue::Utf8(Some(text)) => Ok(Some(parse_interval_month_day_nano(text).map_err(|_| {
            exec_datafusion_err!("{text:?} is no width of a bucket: write it like '5 minutes'")
        })?)),
        _ => Ok(None),
    }
}

/// The bucket of each time.
pub(crate) fn apply(cut: Option<&Cut>, time: &ColumnarValue) -> Result<ColumnarValue> {
    let one = |nanos: i64| cut.and_then(|cut| cut.start(nanos));
    match time {
        ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(time, zone)) => {
            Ok(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(time.and_then(one), zone.clone())))
        }
        ColumnarValue::Scalar(_) => exec_err!("{USAGE}"),
        ColumnarValue::Array(times) => {
            let Some(times) = times.as_primitive_opt::<TimestampNanosecondType>() else {
                return exec_err!("{USAGE}");
            };
            let starts = times.unary_opt::<_, TimestampNanosecondType>(one);
            let starts = starts.with_timezone_opt(times.timezone());
            Ok(ColumnarValue::Array(Arc::new(starts) as ArrayRef))
        }
    }
}
