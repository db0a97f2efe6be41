// Statements over the tables of docs/sql.md.
import { postJson, request } from "./client";

export type Cell = string | number | boolean | null | { lat: number; lng: number };
export type Row = Record<string, Cell>;

export interface Table {
  columns: string[];
  rows: Row[];
}

export function sql(query: string, params: Cell[] = [], signal?: AbortSignal): Promise<Table> {
  return postJson<Table>("/v1/sql", { query, params }, signal);
}

/** The rows of a statement whose columns are known. */
export async function rows<T>(query: string, params: Cell[] = [], signal?: AbortSignal): Promise<T[]> {
  return (await sql(query, params, signal)).rows as T[];
}

/** The same answer as a file. */
export async function csv(query: string, params: Cell[] = []): Promise<Blob> {
  const headers = { "content-type": "application/json", accept: "text/csv" };
  return (await request("/v1/sql", { method: "POST", headers, body: JSON.stringify({ query, params }) })).blob();
}

/** A text as SQL writes it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Whether a column holds times, judged by its first values. */
export function isTime(value: Cell | undefined): value is string {
  return typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value);
}
