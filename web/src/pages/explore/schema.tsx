// The tables and their columns, as the server says; a click puts a name into the statement.
import { rows } from "../../api/sql";
import { Panel, Shown } from "../../ui/parts";
import { useAnswer } from "../../ui/use-answer";

interface Column {
  table_name: string;
  column_name: string;
  data_type: string;
}

export function Schema({ insert }: { insert: (name: string) => void }) {
  const columns = useAnswer(
    (signal) =>
      rows<Column>(
        `SELECT table_name, column_name, data_type FROM information_schema.columns
         WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`,
        [],
        signal,
      ),
    [],
  );
  return (
    <Panel title="Tables">
      <Shown of={columns}>
        {(columns) => (
          <div class="schema">
            {[...new Set(columns.map((column) => column.table_name))].map((table) => (
              <details key={table} open={table === "telemetry"}>
                <summary>{table}</summary>
                <ul>
                  {columns
                    .filter((column) => column.table_name === table)
                    .map(({ column_name, data_type }) => (
                      <li key={column_name}>
                        <button type="button" onClick={() => insert(column_name)}>
                          {column_name}
                        </button>
                        <span class="muted">{plain(data_type)}</span>
                      </li>
                    ))}
                </ul>
              </details>
            ))}
          </div>
        )}
      </Shown>
    </Panel>
  );
}

/** As docs/sql.md calls the types. */
function plain(type: string): string {
  if (type.startsWith("Timestamp")) return "time";
  if (type.startsWith("Utf8")) return "text";
  if (type.startsWith("Float")) return "float";
  if (/^U?Int/.test(type)) return "integer";
  return type.toLowerCase();
}
