//! The functions as a statement names them.

use datafusion::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::functions::{Cut, time_bucket};

pub(super) const BUCKET: &str = "time_bucket_gapfill";
pub(super) const LOCF: &str = "locf";
pub(super) const INTERPOLATE: &str = "interpolate";

const USAGE: &str =
    "write time_bucket_gapfill(width, time), with start, finish and a time zone behind it if need be";

/// `time_bucket_gapfill(width, time [, start, finish] [, timezone])`. By itself it is `time_bucket`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    signature: Signature,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Bucket {
    fn name(&self) -> &str {
        BUCKET
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if !(2..=5).contains(&given.len()) {
            return plan_err!("{USAGE}");
        }
        time_bucket::types(BUCKET, given)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        arguments.get(1).cloned().map_or_else(|| plan_err!("{USAGE}"), Ok)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [width, time, rest @ ..] = &call.args[..] else { return exec_err!("{USAGE}") };
        let constants =
            std::iter::once(width).chain(rest).map(time_bucket::constant).collect::<Result<Vec<_>>>()?;
        time_bucket::apply(Some(&Arguments::read(&constants)?.cut), time)
    }
}

/// What the arguments beside the time say.
pub(super) struct Arguments {
    pub(super) cut: Cut,
    /// NULL stands for what is not given.
    pub(super) start: Option<i64>,
    pub(super) finish: Option<i64>,
}

impl Arguments {
    /// The width, and behind it start and finish in this order and a time zone anywhere.
    pub(super) fn read(constants: &[ScalarValue]) -> Result<Self> {
        let [width, rest @ ..] = constants else { return exec_err!("{USAGE}") };
        let (zones, bounds): (Vec<_>, Vec<_>) =
            rest.iter().partition(|value| time_bucket::zone(value).is_some());
        let words: Vec<ScalarValue> = std::iter::once(width).chain(zones.iter().copied()).cloned().collect();
        if zones.len() > 1 || width.is_null() {
            return exec_err!("{USAGE}");
        }
        let Some(cut) = time_bucket::cut(&words)? else { return exec_err!("{USAGE}") };
        let (start, finish) = match bounds[..] {
            [] => (None, None),
            [start, finish] => (time(start)?, time(finish)?),
            [one] => {
                // What is no time is likely meant as a time zone.
                time(one)?;
                return exec_err!("time_bucket_gapfill: start and finish go together");
            }
            _ => return exec_err!("{USAGE}"),
        };
        Ok(Self { cut, start, finish })
    }
}

fn time(value: &ScalarValue) -> Result<Option<i64>> {
    match value {
        value if value.is_null() => Ok(None),
        ScalarValue::TimestampNanosecond(nanos, _) => Ok(*nanos),
        ScalarValue::Utf8(Some(text)) => string_to_timestamp_nanos(text).map(Some).map_err(|_| {
            exec_datafusion_err!(
                "{text:?} is no time to start or finish, and no time zone (such as 'Europe/Berlin')"
            )
        }),
        _ => exec_err!("{USAGE}"),
    }
}

/// `locf(value)`, `interpolate(value)`: what a gap holds.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Around {
    fill: Fill,
    signature: Signature,
}

/// What stands in a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fill {
    /// The value of the bucket before.
    Carry,
    /// A point on the line between the values on both sides.
    Line,
}

impl Around {
    pub(super) fn locf() -> Self {
        Self { fill: Fill::Carry, signature: Signature::any(1, Volatility::Immutable) }
    }

    pub(super) fn interpolate() -> Self {
        Self { fill: Fill::Line, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Around {
    fn name(&self) -> &str {
        match self.fill {
            Fill::Carry => LOCF,
            Fill::Line => INTERPOLATE,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [value] if value.is_numeric() || value.is_null() => Ok(vec![DataType::Float64]),
            [value] => plan_err!("interpolate draws a line between numbers, not between values of {value}"),
            _ => plan_err!("write interpolate(value)"),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        arguments.first().cloned().map_or_else(|| plan_err!("write {}(value)", self.name()), Ok)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{}", misplaced(self.name()))
    }
}

/// The arguments of `time_bucket_gapfill`, if that is what an expression is.
pub(super) fn bucket(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Alias(alias) => bucket(&alias.expr),
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.inner().is::<Bucket>() => Some(args),
        _ => None,
    }
}

/// What `locf` and `interpolate` do, and with what, if an expression is one of them.
pub(super) fn around(expr: &Expr) -> Option<(Fill, &Expr)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let around = func.inner().downcast_ref::<Around>()?;
    Some((around.fill, args.first()?))
}

/// Where the functions belong.
pub(super) fn misplaced(name: &str) -> String {
    match name {
        BUCKET => format!(
            "{BUCKET}(…) goes into GROUP BY, once and not into another expression there; around that statement another may compute with it"
        ),
        _ => format!(
            "{name}(…) goes around an aggregate, in the SELECT of a statement that groups by {BUCKET}(…)"
        ),
    }
}
