//! Functions that make much of little: `repeat('x', 1000000000)` would take its memory before anybody counts it.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{ScalarValue, resources_err};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// Largest column a call may make, bytes.
const BYTES: u64 = 64 << 20;

/// Functions whose result grows with the number in their second argument.
pub(super) const BY_NUMBER: [&str; 3] = ["repeat", "lpad", "rpad"];

/// Functions whose result grows with the product of their arguments.
pub(super) const BY_TEXT: [&str; 2] = ["replace", "regexp_replace"];

/// Functions that make lists as long as they are told, all at once. `generate_series` as a table is made bit by bit.
pub(super) const LEFT_OUT: [&str; 8] = [
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "range",
    "generate_series",
    "gen_series",
    "array_pad",
];

/// A function that looks before it leaps.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded(pub(super) ScalarUDF);

impl Bounded {
    fn estimate(&self, call: &ScalarFunctionArgs) -> u64 {
        let rows = call.number_rows as u64;
        let longest = |at: usize| call.args.get(at).map_or(0, longest);
        let by_number = BY_NUMBER.contains(&self.0.name());
        let each = match by_number {
            true if self.0.name() == "repeat" => longest(0).saturating_mul(largest(call.args.get(1))),
            // Letters of up to four bytes.
            true => largest(call.args.get(1)).saturating_mul(4),
            false => longest(0).saturating_add(1).saturating_mul(longest(2).saturating_add(1)),
        };
        let constant = call.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        if constant { each } else { each.saturating_mul(rows) }
    }
}

fn longest(argument: &ColumnarValue) -> u64 {
    let of = |text: Option<&str>| text.map_or(0, str::len) as u64;
    match argument {
        ColumnarValue::Scalar(value) => of(value.try_as_str().flatten()),
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().iter().map(of).max().unwrap_or(0),
            DataType::LargeUtf8 => array.as_string::<i64>().iter().map(of).max().unwrap_or(0),
            DataType::Utf8View => array.as_string_view().iter().map(of).max().unwrap_or(0),
            _ => 64, // it becomes a text of a number or a time
        },
    }
}

fn largest(argument: Option<&ColumnarValue>) -> u64 {
    let most = |number: i64| u64::try_from(number).unwrap_or(0);
    match argument {
        Some(ColumnarValue::Scalar(value)) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(number))) => most(number),
            _ => 0,
        },
        Some(ColumnarValue::Array(array)) => match cast(array, &DataType::Int64) {
            Ok(numbers) => numbers.as_primitive::<Int64Type>().iter().flatten().map(most).max().unwrap_or(0),
            Err(_) => 0,
        },
        None => 0,
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.0.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(arguments)
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.0.simplify(arguments, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.estimate(&call);
        if bytes > BYTES {
            return resources_err!("{} would make {bytes} bytes, at most {BYTES} are", self.0.name());
        }
        self.0.invoke_with_args(call)
    }
}
