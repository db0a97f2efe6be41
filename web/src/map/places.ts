// Where devices are, counted by the server in cells of some pixels, so that a hundred thousand devices are no more to draw than a
// thousand. A device is where its last reading of a location says, else where people registered it.
import { rows } from "../api/sql";
import { type Size, type View, corners, perDegree } from "./view";

export interface Place {
  lng: number;
  lat: number;
  devices: number;
  /** One of them. */
  id: string;
}

/** Most places asked for at a time. */
export const PLACES = 5000;

/** Least side of a cell, pixels. */
const CELL = 5;

const REGISTERED = "SELECT id, lat, lng FROM devices";
// The table of latest readings is not there where stores are of kind sqlite.
const EITHER = `SELECT d.id, coalesce(l.lat, d.lat) AS lat, coalesce(l.lng, d.lng) AS lng FROM devices d
  LEFT JOIN (SELECT device_id, lat, lng FROM latest WHERE kind = 'location') l ON l.device_id = d.id`;

export async function places(view: View, size: Size, signal: AbortSignal): Promise<Place[]> {
  // As many cells as fit into the answer, so that no device is left out. Their side is a power of two of a degree: so they stay where they are
  // while the map moves.
  const side = Math.max(CELL, Math.sqrt((size.width * size.height) / (PLACES * 0.9)));
  const cell = 2 ** Math.ceil(Math.log2(side / perDegree(view, size)));
  const [west, south, east, north] = corners(view, size);
  const question = (devices: string) =>
    `SELECT avg(lng) AS lng, avg(lat) AS lat, count(*) AS devices, min(id) AS id FROM (${devices}) AS placed
     WHERE lng BETWEEN ${west - cell} AND ${east + cell} AND lat BETWEEN ${south - cell} AND ${north + cell}
     GROUP BY floor(lng / ${cell}), floor(lat / ${cell}) ORDER BY devices DESC LIMIT ${PLACES}`;
  try {
    return await rows<Place>(question(EITHER), [], signal);
  } catch (error) {
    if (!/latest/.test((error as Error).message)) throw error;
    return rows<Place>(question(REGISTERED), [], signal);
  }
}
