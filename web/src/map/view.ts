// Where the map stands: a plain cylindrical projection, so that a place is its longitude and latitude, scaled.

export interface View {
  /** Degrees, the middle of the map. */
  lng: number;
  lat: number;
  /** 1 shows the whole width of the world. */
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
}

export const WORLD: View = { lng: 8, lat: 18, zoom: 1 };
const ZOOMS = [1, 4096] as const;

export function perDegree(view: View, size: Size): number {
  return (size.width / 360) * view.zoom;
}

export function toPixels(view: View, size: Size, lng: number, lat: number): [number, number] {
  const scale = perDegree(view, size);
  return [size.width / 2 + (lng - view.lng) * scale, size.height / 2 - (lat - view.lat) * scale];
}

export function toPlace(view: View, size: Size, x: number, y: number): [number, number] {
  const scale = perDegree(view, size);
  return [view.lng + (x - size.width / 2) / scale, view.lat - (y - size.height / 2) / scale];
}

/** Nearer or further by `factor`, with the point under (x, y) staying where it is. */
export function zoomed(view: View, size: Size, factor: number, x = size.width / 2, y = size.height / 2): View {
  const zoom = Math.min(Math.max(view.zoom * factor, ZOOMS[0]), ZOOMS[1]);
  const [lng, lat] = toPlace(view, size, x, y);
  const scale = perDegree({ ...view, zoom }, size);
  return bounded({ zoom, lng: lng - (x - size.width / 2) / scale, lat: lat + (y - size.height / 2) / scale });
}

export function moved(view: View, size: Size, dx: number, dy: number): View {
  const scale = perDegree(view, size);
  return bounded({ ...view, lng: view.lng - dx / scale, lat: view.lat + dy / scale });
}

function bounded(view: View): View {
  const limit = (n: number, most: number) => Math.min(Math.max(n, -most), most);
  return view.zoom === 1 ? { ...view, lng: WORLD.lng, lat: limit(view.lat, 40) } : { ...view, lng: limit(view.lng, 180), lat: limit(view.lat, 85) };
}

/** The view that shows these places with some room around them. */
export function around(places: { lng: number; lat: number }[], size: Size): View {
  if (!places.length) return WORLD;
  const [lngs, lats] = [places.map((place) => place.lng), places.map((place) => place.lat)];
  const span = (of: number[]) => [Math.min(...of), Math.max(...of)] as const;
  const [west, east] = span(lngs);
  const [south, north] = span(lats);
  const zoom = Math.min(360 / Math.max((east - west) * 1.3, 1), (360 * size.height) / size.width / Math.max((north - south) * 1.3, 1));
  return bounded({ lng: (west + east) / 2, lat: (south + north) / 2, zoom: Math.min(Math.max(zoom, 1), 64) });
}

/** The corners of what is seen, west, south, east, north. */
export function corners(view: View, size: Size): [number, number, number, number] {
  const [west, north] = toPlace(view, size, 0, 0);
  const [east, south] = toPlace(view, size, size.width, size.height);
  return [west, south, east, north];
}
