//! What clients set and show, and transactions: all of it is answered, and none of it changes what is read.

use std::sync::Arc;

use datafusion::arrow::array::StringArray;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::{Set, Statement};

/// The version of PostgreSQL whose ways clients may count on.
pub(crate) const VERSION: &str = "16.6";

/// What is shown of the settings that clients ask for.
const SETTINGS: [(&str, &str); 29] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lc_messages", "C"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", VERSION),
    ("server_version_num", "160006"),
    ("ssl", "off"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_deferrable", "off"),
    ("transaction_isolation", "repeatable read"),
    ("transaction_read_only", "on"),
];

/// A statement that is none for the engine.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    /// A transaction begins. Each statement is one anyway; there is nothing to undo.
    Begin,
    /// It ends, this way.
    End(&'static str),
    /// Something was set, or let go: the tag that says so.
    Done(&'static str),
    /// `SHOW name`.
    Show(&'static str, &'static str),
    /// There is none of that name.
    Unknown(String),
}

impl Setting {
    /// What a statement sets or shows; `None`: it asks for something.
    pub(crate) fn of(statement: &Statement) -> Option<Self> {
        Some(match statement {
            Statement::StartTransaction { .. } => Self::Begin,
            Statement::Commit { .. } => Self::End("COMMIT"),
            Statement::Rollback { .. } => Self::End("ROLLBACK"),
            Statement::Savepoint { .. } => Self::Done("SAVEPOINT"),
            Statement::ReleaseSavepoint { .. } => Self::Done("RELEASE"),
            Statement::Set(Set::SetRole { .. }) => Self::Unknown("role".into()),
            Statement::Set(_) => Self::Done("SET"),
            Statement::Reset(_) => Self::Done("RESET"),
            Statement::Discard { .. } => Self::Done("DISCARD ALL"),
            Statement::UNLISTEN { .. } => Self::Done("UNLISTEN"),
            Statement::ShowVariable { variable } => {
                let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
                let name = match words.join(" ").as_str() {
                    "transaction isolation level" => "transaction_isolation".to_owned(),
                    "time zone" => "timezone".to_owned(),
                    other => other.to_owned(),
                };
                if name == "all" || name == "tables" {
                    return None;
                }
                find(&name).map_or(Self::Unknown(name), |(name, value)| Self::Show(name, value))
            }
            _ => return None,
        })
    }

    /// The schema of what is shown.
    pub(crate) fn schema(&self) -> Schema {
        match self {
            Self::Show(name, _) => Schema::new(vec![Field::new(*name, DataType::Utf8, false)]),
            _ => Schema::empty(),
        }
    }

    /// What is shown.
    pub(crate) fn shown(&self) -> Option<RecordBatch> {
        let Self::Show(_, value) = self else { return None };
        let column = Arc::new(StringArray::from(vec![*value]));
        RecordBatch::try_new(Arc::new(self.schema()), vec![column]).ok()
    }
}

/// All of them, by name.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETTINGS.into_iter()
}

fn find(name: &str) -> Option<(&'static str, &'static str)> {
    SETTINGS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// `current_setting(name [, missing_ok])`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CurrentSetting {
    signature: Signature,
}

impl CurrentSetting {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Stable) }
    }
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.len() {
            1 | 2 => Ok(DataType::Utf8),
            _ => plan_err!("write current_setting(name) or current_setting(name, missing_ok)"),
        }
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(ColumnarValue::Scalar(name)) = call.args.first() else {
            return exec_err!("the name of a setting is a constant");
        };
        let name = name.try_as_str().flatten().unwrap_or_default();
        let missing_ok =
            matches!(call.args.get(1), Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))));
        match find(name) {
            Some((_, value)) => Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(value.to_owned())))),
            None if missing_ok => Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None))),
            None => exec_err!("unrecognized configuration parameter {name:?}"),
        }
    }
}
