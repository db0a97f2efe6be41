//! The Parquet schema of a plan. Fields are known by their ids: those up to 15 are ours, a metric's is 16 and its number.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::Result;
use parquet::schema::types::{Type, TypePtr};

use super::kind::{Kind, Number};
use super::plan::{Plan, Unit};

/// A column of the rows' keys and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    Group,
    Device,
    Time,
    Shift,
    Seq,
    Delay,
    Origin,
    Exceptions,
}

/// Columns that a file has been spared because they would say nothing: what is known once all of its rows are there,
/// which is so for a file of one row group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spared {
    /// Every reading arrived when it happened.
    pub(super) delay: bool,
    /// Every value fits into its column.
    pub(super) exceptions: bool,
}

/// The hidden columns of a file, in their order; the metrics' follow.
pub(super) fn hidden(plan: &Plan, spared: Spared) -> Vec<Hidden> {
    let all = [
        (Hidden::Group, plan.groups),
        (Hidden::Device, true),
        (Hidden::Time, true),
        (Hidden::Shift, plan.shifts),
        (Hidden::Seq, plan.seqs),
        (Hidden::Delay, !spared.delay),
        (Hidden::Origin, plan.origins),
        (Hidden::Exceptions, !spared.exceptions),
    ];
    all.into_iter().filter_map(|(hidden, present)| present.then_some(hidden)).collect()
}

/// How many Parquet columns a metric takes.
pub(super) fn width(kind: Kind) -> usize {
    if matches!(kind, Kind::Place(..)) || has_units(kind) { 2 } else { 1 }
}

fn has_units(kind: Kind) -> bool {
    matches!(kind, Kind::Number(Number::Nearly(_) | Number::Parsed(_)))
}

/// The name of a metric's field: the metric's, with a second underscore where it begins with one, so that it is never a
/// hidden column's.
pub(super) fn field_name(metric: &str) -> String {
    if metric.starts_with('_') { format!("_{metric}") } else { metric.to_owned() }
}

pub(super) fn of(plan: &Plan, spared: Spared) -> Result<TypePtr> {
    let mut fields = Vec::new();
    for column in hidden(plan, spared) {
        fields.push(Arc::new(hidden_field(column, plan)?));
    }
    for column in &plan.columns {
        let (name, id) = (field_name(&column.name), 16 + column.no.0 as i32);
        fields.push(Arc::new(metric_field(&name, id, column.kind)?));
        if has_units(column.kind) {
            let name = format!("_units_{}", column.name);
            let units = Type::primitive_type_builder(&name, Physical::INT32);
            fields.push(Arc::new(units.with_repetition(Repetition::OPTIONAL).build()?));
        }
    }
    Ok(Arc::new(Type::group_type_builder("rows").with_fields(fields).build()?))
}

fn hidden_field(column: Hidden, plan: &Plan) -> Result<Type> {
    let unsigned = |bit_width| Some(LogicalType::integer(bit_width, false));
    let (name, physical, logical, id) = match column {
        Hidden::Group => ("_group", Physical::INT32, unsigned(32), 1),
        Hidden::Device => ("_device", Physical::INT32, unsigned(32), 2),
        Hidden::Time => {
            let unit = match plan.time_unit {
                Unit::Nanos => TimeUnit::NANOS,
                Unit::Micros => TimeUnit::MICROS,
                Unit::Millis => TimeUnit::MILLIS,
            };
            ("_time", Physical::INT64, Some(LogicalType::timestamp(true, unit)), 3)
        }
        Hidden::Shift => ("_shift", Physical::INT64, None, 4),
        Hidden::Seq => ("_seq", Physical::INT64, unsigned(64), 5),
        Hidden::Delay => ("_delay", Physical::INT64, None, 6),
        Hidden::Origin => ("_origin", Physical::INT32, unsigned(8), 7),
        Hidden::Exceptions => ("_exceptions", Physical::BYTE_ARRAY, None, 8),
    };
    let repetition = match column {
        Hidden::Shift | Hidden::Exceptions => Repetition::OPTIONAL,
        _ => Repetition::REQUIRED,
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_id(Some(id))
        .build()
}

fn metric_field(name: &str, id: i32, kind: Kind) -> Result<Type> {
    let plain = |physical, logical| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .with_id(Some(id))
            .build()
    };
    match kind {
        Kind::Number(number) => number_field(name, Some(id), Repetition::OPTIONAL, number),
        Kind::Bool => plain(Physical::BOOLEAN, None),
        Kind::Text => plain(Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Place(lat, lng) => {
            let part = |name, number| number_field(name, None, Repetition::REQUIRED, number).map(Arc::new);
            Type::group_type_builder(name)
                .with_repetition(Repetition::OPTIONAL)
                .with_id(Some(id))
                .with_fields(vec![part("lat", lat)?, part("lng", lng)?])
                .build()
        }
    }
}

fn number_field(name: &str, id: Option<i32>, repetition: Repetition, number: Number) -> Result<Type> {
    let physical = match number {
        Number::Int32 | Number::Decimal32(_) => Physical::INT32,
        Number::Int64 | Number::Decimal64(_) | Number::Nearly(_) | Number::Parsed(_) => Physical::INT64,
        Number::Float32 => Physical::FLOAT,
        Number::Float64 => Physical::DOUBLE,
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition).with_id(id);
    match number {
        Number::Decimal32(decimals) => decimal(builder, 9, decimals),
        Number::Decimal64(decimals) | Number::Nearly(decimals) | Number::Parsed(decimals) => {
            decimal(builder, 15, decimals)
        }
        _ => builder.build(),
    }
}

fn decimal(
    builder: parquet::schema::types::PrimitiveTypeBuilder<'_>,
    precision: i32,
    decimals: u8,
) -> Result<Type> {
    let scale = i32::from(decimals);
    builder
        .with_logical_type(Some(LogicalType::decimal(scale, precision)))
        .with_converted_type(ConvertedType::DECIMAL)
        .with_precision(precision)
        .with_scale(scale)
        .build()
}
