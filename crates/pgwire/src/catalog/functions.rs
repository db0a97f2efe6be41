//! Functions about the server that clients call before they ask.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int32Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_int32_array, as_int64_array, as_string_array};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::functions_nested::string::array_to_string_udf;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_pg_catalog::pg_catalog::ArrowTable;

/// All of them. `types` is `pg_type`.
pub(super) fn all(types: &ArrowTable) -> Result<Vec<ScalarUDF>> {
    let types = Arc::new(Types::read(types)?);
    let (strict, lenient) = (Arc::clone(&types), types);
    let mut all: Vec<ScalarUDF> = constants().into_iter().map(ScalarUDF::from).collect();
    let text = || DataType::Utf8;
    let rest = [
        Computed::new("quote_literal", text(), |call| texts(call, |text| Ok(Some(literal(text))))),
        Computed::new("quote_nullable", text(), |call| {
            let column = text_argument(call)?;
            let quoted = column.iter().map(|text| Some(text.map_or_else(|| "NULL".into(), literal)));
            Ok(Arc::new(quoted.collect::<StringArray>()))
        }),
        Computed::new("bare_name", text(), |call| {
            texts(call, |name| Ok(name.rsplit('.').next().map(|name| name.trim_matches('"').to_owned())))
        }),
        Computed::new("pg_size_pretty", text(), |call| {
            let sizes = cast(&argument(call, 0)?, &DataType::Int64)?;
            let sizes = as_int64_array(&sizes)?.iter().map(|size| size.map(pretty));
            Ok(Arc::new(sizes.collect::<StringArray>()))
        }),
        Computed::new("regtype_oid", DataType::Int32, move |call| {
            strict.numbers(call, |name| exec_err!("type {name:?} does not exist"))
        }),
        Computed::new("to_regtype", DataType::Int32, move |call| lenient.numbers(call, |_| Ok(None))),
        Computed::new("json_build_object", text(), object),
        Computed::new("format", text(), formatted),
    ];
    all.extend(rest.map(ScalarUDF::from));
    let (join, signature) = (array_to_string_udf(), Signature::variadic_any(Volatility::Immutable));
    all.push(ScalarUDF::from(Joined { join, signature }));
    Ok(all)
}

/// What has the same answer whatever it is asked about: there is one schema, nobody comments, and nothing is written.
fn constants() -> Vec<Constant> {
    let yes = || ScalarValue::Boolean(Some(true));
    let no = || ScalarValue::Boolean(Some(false));
    let none = || ScalarValue::Utf8(None);
    let zero = || ScalarValue::Int64(Some(0));
    let known = [
        ("pg_function_is_visible", yes()),
        ("pg_type_is_visible", yes()),
        ("pg_operator_is_visible", yes()),
        ("pg_opclass_is_visible", yes()),
        ("pg_opfamily_is_visible", yes()),
        ("pg_collation_is_visible", yes()),
        ("pg_conversion_is_visible", yes()),
        ("pg_statistics_obj_is_visible", yes()),
        ("pg_ts_config_is_visible", yes()),
        ("pg_ts_dict_is_visible", yes()),
        ("pg_ts_parser_is_visible", yes()),
        ("pg_ts_template_is_visible", yes()),
        ("has_column_privilege", yes()),
        ("has_function_privilege", yes()),
        ("has_sequence_privilege", yes()),
        ("pg_has_role", yes()),
        ("pg_is_in_recovery", no()),
        ("pg_is_wal_replay_paused", no()),
        ("pg_is_other_temp_schema", no()),
        ("obj_description", none()),
        ("col_description", none()),
        ("shobj_description", none()),
        ("pg_get_functiondef", none()),
        ("pg_get_function_result", none()),
        ("pg_get_function_arguments", none()),
        ("pg_get_function_identity_arguments", none()),
        ("pg_get_function_sqlbody", none()),
        ("pg_get_indexdef", none()),
        ("pg_get_ruledef", none()),
        ("pg_get_triggerdef", none()),
        ("pg_get_viewdef", none()),
        ("pg_get_serial_sequence", none()),
        ("pg_tablespace_location", none()),
        ("inet_server_addr", none()),
        ("inet_client_addr", none()),
        // Locks are for those who write.
        ("pg_advisory_unlock_all", none()),
        ("pg_table_size", zero()),
        ("pg_indexes_size", zero()),
        ("pg_database_size", zero()),
        ("pg_tablespace_size", zero()),
        ("getdatabaseencoding", ScalarValue::Utf8(Some("UTF8".into()))),
        ("pg_my_temp_schema", ScalarValue::Int32(Some(0))),
        ("pg_char_to_encoding", ScalarValue::Int32(Some(6))), // UTF8
    ];
    known.into_iter().map(|(name, answer)| Constant::new(name, answer)).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    answer: ScalarValue,
    signature: Signature,
}

impl Constant {
    fn new(name: &'static str, answer: ScalarValue) -> Self {
        let signature = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::VariadicAny,
            ],
            Volatility::Stable,
        );
        Self { name, answer, signature }
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.answer.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.answer.clone()))
    }
}

type Body = dyn Fn(&ScalarFunctionArgs) -> Result<ArrayRef> + Send + Sync;

/// A function of any arguments. It is known by its name.
struct Computed {
    name: &'static str,
    kind: DataType,
    signature: Signature,
    body: Box<Body>,
}

impl Computed {
    fn new(
        name: &'static str,
        kind: DataType,
        body: impl Fn(&ScalarFunctionArgs) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Self {
        let signature = Signature::variadic_any(Volatility::Stable);
        Self { name, kind, signature, body: Box::new(body) }
    }
}

impl std::fmt::Debug for Computed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Computed {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Computed {}

impl std::hash::Hash for Computed {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Computed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.clone())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Array((self.body)(&call)?))
    }
}

fn argument(call: &ScalarFunctionArgs, at: usize) -> Result<ArrayRef> {
    match call.args.get(at) {
        Some(value) => value.to_array(call.number_rows),
        None => exec_err!("an argument is missing"),
    }
}

fn text_argument(call: &ScalarFunctionArgs) -> Result<StringArray> {
    let column = cast(&argument(call, 0)?, &DataType::Utf8)?;
    Ok(as_string_array(&column)?.clone())
}

fn texts(call: &ScalarFunctionArgs, each: impl Fn(&str) -> Result<Option<String>>) -> Result<ArrayRef> {
    let column = text_argument(call)?;
    let found = column.iter().map(|text| text.map_or(Ok(None), &each));
    Ok(Arc::new(found.collect::<Result<StringArray>>()?))
}

fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!(" E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

fn pretty(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    // From one unit to the next at ten times its size, as PostgreSQL does.
    let (mut size, mut unit) = (bytes as f64, 0);
    while size.abs() >= 10_239.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.0} {}", UNITS[unit])
}

/// `format('%s %I %L %%', …)`.
fn formatted(call: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let columns: Vec<ArrayRef> = (0..call.args.len())
        .map(|at| Ok(cast(&argument(call, at)?, &DataType::Utf8)?))
        .collect::<Result<_>>()?;
    let columns: Vec<&StringArray> =
        columns.iter().map(|column| as_string_array(column)).collect::<Result<_>>()?;
    let Some((shapes, given)) = columns.split_first() else { return exec_err!("an argument is missing") };
    let rows = shapes.iter().enumerate().map(|(row, shape)| {
        let Some(shape) = shape else { return Ok(None) };
        let mut given = given.iter().map(|column| column.is_valid(row).then(|| column.value(row)));
        let (mut out, mut letters) = (String::new(), shape.chars());
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let kind = letters.next();
            if kind == Some('%') {
                out.push('%');
                continue;
            }
            let Some(value) = given.next() else { return exec_err!("too few arguments for format()") };
            out += &match (kind, value) {
                (Some('s'), value) => value.unwrap_or_default().to_owned(),
                (Some('I'), Some(name)) => format!("\"{}\"", name.replace('"', "\"\"")),
                (Some('L'), value) => value.map_or_else(|| "NULL".into(), literal),
                _ => return exec_err!("format() knows %s, %I, %L and %%"),
            };
        }
        Ok(Some(out))
    });
    Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
}

/// `json_build_object(key, value, …)`.
fn object(call: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let columns: Vec<ArrayRef> = (0..call.args.len()).map(|at| argument(call, at)).collect::<Result<_>>()?;
    if !columns.len().is_multiple_of(2) {
        return exec_err!("json_build_object takes keys and values, in pairs");
    }
    let rows = (0..call.number_rows).map(|row| {
        let pairs = columns.chunks_exact(2).map(|pair| {
            let key = ScalarValue::try_from_array(&pair[0], row)?.to_string();
            Ok(format!("{} : {}", quoted(&key), json(&ScalarValue::try_from_array(&pair[1], row)?)))
        });
        Ok(Some(format!("{{{}}}", pairs.collect::<Result<Vec<_>>>()?.join(", "))))
    });
    Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
}

fn json(value: &ScalarValue) -> String {
    match value {
        value if value.is_null() => "null".into(),
        ScalarValue::Boolean(_) => value.to_string(),
        value if value.data_type().is_numeric() => value.to_string(),
        value => quoted(&value.to_string()),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter < ' ' => out += &format!("\\u{:04x}", u32::from(letter)),
            letter => out.push(letter),
        }
    }
    out + "\""
}

/// The numbers of types.
struct Types(HashMap<String, i32>);

/// Names of the language for those of the catalog.
const ALIASES: [(&str, &str); 14] = [
    ("bigint", "int8"),
    ("boolean", "bool"),
    ("char", "bpchar"),
    ("character", "bpchar"),
    ("character varying", "varchar"),
    ("decimal", "numeric"),
    ("double precision", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("time without time zone", "time"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
];

impl Types {
    fn read(table: &ArrowTable) -> Result<Self> {
        let mut found = HashMap::new();
        for batch in table.data() {
            let (Some(oids), Some(names)) = (batch.column_by_name("oid"), batch.column_by_name("typname"))
            else {
                continue;
            };
            let (oids, names) = (cast(oids, &DataType::Int32)?, cast(names, &DataType::Utf8)?);
            let pairs = as_int32_array(&oids)?.iter().zip(as_string_array(&names)?);
            found.extend(pairs.filter_map(|(oid, name)| Some((name?.to_owned(), oid?))));
        }
        Ok(Self(found))
    }

    fn number(&self, name: &str) -> Option<i32> {
        let name = name.trim().to_lowercase();
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name).trim_matches('"');
        if let Ok(number) = name.parse() {
            return Some(number);
        }
        let (element, array) = name.strip_suffix("[]").map_or((name, ""), |element| (element, "_"));
        let known = ALIASES.iter().find(|(alias, _)| *alias == element).map_or(element, |(_, known)| known);
        self.0.get(&format!("{array}{known}")).copied()
    }

    /// Numbers stay what they are.
    fn numbers(
        &self,
        call: &ScalarFunctionArgs,
        unknown: impl Fn(&str) -> Result<Option<i32>>,
    ) -> Result<ArrayRef> {
        let given = argument(call, 0)?;
        if given.data_type().is_numeric() {
            return Ok(cast(&given, &DataType::Int32)?);
        }
        let names = text_argument(call)?;
        let found = names.iter().map(|name| match name {
            None => Ok(None),
            Some(name) => self.number(name).map_or_else(|| unknown(name), |number| Ok(Some(number))),
        });
        Ok(Arc::new(found.collect::<Result<Int32Array>>()?))
    }
}

/// `array_to_string`, also of arrays that the catalog holds as texts.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    join: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        "catalog_join"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(first) = call.args.first() else { return exec_err!("an argument is missing") };
        match first.data_type() {
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                let joined = self.join.inner().invoke_with_args(call)?;
                joined.cast_to(&DataType::Utf8, None)
            }
            _ => first.clone().cast_to(&DataType::Utf8, None),
        }
    }
}
