//! `penstock query`

use anyhow::Context;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::Answer;
use crate::client::{Said, Server};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// The statement, such as "SELECT device_id, metric, value FROM telemetry LIMIT 10"
    // SQL may begin with a comment, `-- …`.
    #[arg(value_name = "SQL", allow_hyphen_values = true)]
    statement: String,
    /// What fills the `?` of the statement, in order: JSON values, or plain text
    #[arg(long = "param", short, value_name = "VALUE")]
    params: Vec<String>,
    /// A data set (`penstock reprocess`) to ask instead of the live tables
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// {"columns":[…],"rows":[{…}]}
    Json,
    /// RFC 4180, with a header line
    Csv,
}

impl Query {
    #[allow(clippy::print_stdout)] // stdout is data
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let params =
            self.params.iter().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
        let mut body = json!({ "query": self.statement, "params": params.collect::<Vec<Value>>() });
        if let Some(dataset) = self.dataset {
            body["dataset"] = dataset.into();
        }
        let accept = if self.format == Format::Csv { "text/csv" } else { "application/json" };
        match self.server.post("/v1/sql", accept, &body)? {
            Said::Fine(answer) if self.format == Format::Table => println!("{}", table(&answer)?),
            Said::Fine(answer) => println!("{}", answer.trim_end()),
            Said::Refused { status, detail } => {
                eprintln!("penstock: {detail}");
                return Ok(if status == 400 { Answer::WrongUse } else { Answer::No });
            }
        }
        Ok(Answer::Yes)
    }
}

fn table(answer: &str) -> anyhow::Result<Table> {
    let answer: Value = serde_json::from_str(answer).context("the server's answer is no JSON")?;
    let columns = answer["columns"].as_array().context("the server's answer has no columns")?;
    let rows = answer["rows"].as_array().context("the server's answer has no rows")?;
    let names: Vec<&str> = columns.iter().filter_map(Value::as_str).collect();
    Ok(table_of(&names, rows))
}

/// Rows of objects, for people.
pub(crate) fn table_of(names: &[&str], rows: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(names);
    for row in rows {
        table.add_row(names.iter().map(|name| cell(&row[*name])));
    }
    table
}

/// Rows of objects as CSV (RFC 4180) with a header line; nothing is an empty field.
pub(crate) fn csv_of(names: &[&str], rows: &[Value]) -> String {
    let mut lines = vec![names.iter().map(|name| csv_field(name)).collect::<Vec<_>>().join(",")];
    lines.extend(rows.iter().map(|row| {
        let fields = names.iter().map(|name| match &row[*name] {
            Value::Null => String::new(),
            Value::String(text) => csv_field(text),
            number => number.to_string(),
        });
        fields.collect::<Vec<_>>().join(",")
    }));
    lines.join("\r\n")
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn cell(value: &Value) -> comfy_table::Cell {
    match value {
        Value::Null => comfy_table::Cell::new(""),
        Value::String(text) => comfy_table::Cell::new(text),
        number => comfy_table::Cell::new(number).set_alignment(CellAlignment::Right),
    }
}
