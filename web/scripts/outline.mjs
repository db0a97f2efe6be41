// Makes src/map/outline.json, the world's land for the map of the overview, from Natural Earth's 1:110m land (public
// domain), as the npm package world-atlas (ISC) carries it. Run by hand (`npm run outline`); the result is kept.
//
// The result is a list of rings; a ring is a flat list of longitude and latitude in tenths of degrees, each but the first
// pair as the difference to the one before.
import { readFileSync, writeFileSync } from "node:fs";

const atlas = JSON.parse(readFileSync(new URL("../node_modules/world-atlas/land-110m.json", import.meta.url)));
const { scale, translate } = atlas.transform;

// TopoJSON: an arc's points are differences in whole steps; a negative index is the arc backwards.
const arcs = atlas.arcs.map((arc) => {
  let x = 0;
  let y = 0;
  return arc.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
  });
});
const ring = (indices) =>
  indices.flatMap((index, n) => {
    const points = index < 0 ? arcs[~index].toReversed?.() ?? [...arcs[~index]].reverse() : arcs[index];
    return n === 0 ? points : points.slice(1);
  });

const geometries = atlas.objects.land.geometries ?? [atlas.objects.land];
const rings = geometries.flatMap((land) => (land.type === "Polygon" ? [land.arcs] : land.arcs)).flat().map(ring);
// Land that reaches over the 180th meridian goes on beyond it, and stands at the other side once more. Antarctica is closed along its
// own pole.
const whole = rings.flatMap((points) => {
  if (points.some(([, lat]) => lat < -60)) return [points];
  let [turns, last] = [0, points[0][0]];
  const over = points.map(([lon, lat]) => {
    if (Math.abs(lon - last) > 180) turns += lon < last ? 1 : -1;
    last = lon;
    return [lon + 360 * turns, lat];
  });
  const lons = over.map(([lon]) => lon);
  const beside = Math.max(...lons) > 181 ? -360 : Math.min(...lons) < -181 ? 360 : 0;
  return beside ? [over, over.map(([lon, lat]) => [lon + beside, lat])] : [over];
});
const packed = whole.map((points) => {
  let [x, y] = [0, 0];
  return points.flatMap(([lon, lat]) => {
    const [nx, ny] = [Math.round(lon * 10), Math.round(lat * 10)];
    const step = [nx - x, ny - y];
    [x, y] = [nx, ny];
    return step;
  });
});
writeFileSync(new URL("../src/map/outline.json", import.meta.url), `${JSON.stringify(packed)}\n`);
