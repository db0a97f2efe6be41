// Where the page stands: the part of the address behind #. The server is never asked for a page's path, so an address of the
// API that does not exist is still answered as one.
import { Store } from "./store";

export interface Place {
  /** Its parts, decoded: `["devices", "pump-7"]`. */
  path: string[];
  params: URLSearchParams;
}

function parse(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter((part) => part !== "");
  return { path: parts.map(decoded), params: new URLSearchParams(query) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody typed a lone %
  }
}

export const place = new Store<Place>(parse(location.hash));

addEventListener("hashchange", () => place.set(parse(location.hash)));

export type Params = Record<string, string | number | null | undefined>;

/** The address of a place. Parameters that are empty are left out. */
export function href(path: string[], params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Changes parameters of where we are; `replace` leaves no step to go back to. */
export function setParams(change: Params, replace = false): void {
  const here = place.get();
  const params: Params = { ...Object.fromEntries(here.params), ...change };
  const to = href(here.path, params);
  if (replace) {
    history.replaceState(null, "", to);
    place.set(parse(location.hash));
  } else {
    location.hash = to;
  }
}

export function go(path: string[], params: Params = {}): void {
  location.hash = href(path, params);
}

/** A `go` for when an answer has come: whoever went elsewhere meanwhile is not taken away from there. */
export function goIfStill(): typeof go {
  const here = href(place.get().path);
  return (path, params) => {
    if (href(place.get().path) === here) go(path, params);
  };
}
