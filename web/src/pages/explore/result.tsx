import { useMemo, useState } from "preact/hooks";

import { type Table, isTime } from "../../api/sql";
import { Chart } from "../../charts/chart";
import { count, value } from "../../format";
import { Choices, Note, Panel, Scroll } from "../../ui/parts";
import { drawable } from "./pivot";

/** Rows put on the page; the file has all. */
const LISTED = 1000;

const SHAPES = [
  ["chart", "Chart"],
  ["table", "Table"],
] as const;

export function Result({ table, says, download }: { table: Table; says: string; download: () => void }) {
  const drawn = useMemo(() => drawable(table), [table]);
  const [wanted, want] = useState<"chart" | "table">("chart");
  const shape = drawn.curves ? wanted : "table";
  return (
    <Panel
      title={says}
      flush={shape === "table"}
      aside={
        <div class="bar">
          {drawn.curves ? <Choices label="Shown as" options={SHAPES} value={shape} choose={want} /> : <span class="muted">{drawn.why}</span>}
          <button class="button" type="button" disabled={!table.rows.length} onClick={download}>
            CSV
          </button>
        </div>
      }
    >
      {shape === "chart" && drawn.curves ? (
        <>
          {drawn.left > 0 && <p class="muted">{count(drawn.left)} more curves are not drawn: name fewer devices.</p>}
          <Chart label="Answer" times={drawn.curves.times} series={drawn.curves.series} height={340} points={drawn.curves.times.length < 100} />
        </>
      ) : (
        <Rows table={table} />
      )}
    </Panel>
  );
}

function Rows({ table }: { table: Table }) {
  if (!table.rows.length) return <Note title="No row is like this">Its columns: {table.columns.join(", ")}</Note>;
  const numeric = new Set(table.columns.filter((name) => table.rows.slice(0, 50).some((row) => typeof row[name] === "number")));
  return (
    <>
      <Scroll label="Answer" tall>
        <table>
          <thead>
            <tr>
              {table.columns.map((name) => (
                <th scope="col" class={numeric.has(name) ? "n" : undefined} key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {table.rows.slice(0, LISTED).map((row, n) => (
              <tr key={n}>
                {table.columns.map((name) => (
                  <td class={numeric.has(name) ? "n" : isTime(row[name]) ? "mono" : undefined} key={name}>
                    {value(row[name])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {table.rows.length > LISTED && <p class="note">The first {count(LISTED)} rows; the CSV file has all.</p>}
    </>
  );
}
