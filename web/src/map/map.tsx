// The map of the overview. Dragging moves it, the wheel with Ctrl, the buttons and + and − change its size, a click on a place
// leads to its device, or nearer.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { count } from "../format";
import { go } from "../router";
import { useStore } from "../store";
import { shown } from "../theme";
import { useAnswer, useRested } from "../ui/use-answer";
import { type Outline, draw, radius, unpacked } from "./draw";
import outlineAt from "./outline.json?url";
import { type Place, places } from "./places";
import { type Size, type View, WORLD, around, moved, toPixels, zoomed } from "./view";

export function WorldMap() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [outline, setOutline] = useState<Outline>([]);
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  const [view, setView] = useState<View>(WORLD);
  const [over, setOver] = useState<Place | null>(null);
  const asked = useRested(view, 150);
  const theme = useStore(shown);
  const found = useAnswer(
    // Nothing is asked before it is known how large the map is.
    (signal) => (size.width ? places(asked, size, signal) : new Promise<Place[]>(() => {})),
    [asked, size.width, size.height],
    60_000,
  );
  const fitted = useRef(false);
  const all = found.data ?? [];

  useLayoutEffect(() => {
    void fetch(outlineAt)
      .then((response) => response.json())
      .then((packed: number[][]) => setOutline(unpacked(packed)));
    const box = canvas.current!.parentElement!;
    const measure = () => {
      const width = box.clientWidth;
      const height = Math.round(Math.min(Math.max(width * 0.5, 180), 400));
      setSize((old) => (old.width === width && old.height === height ? old : { width, height }));
    };
    measure();
    const sized = new ResizeObserver(measure);
    sized.observe(box);
    return () => sized.disconnect();
  }, []);

  useEffect(() => {
    if (size.width) draw(canvas.current!, size, view, outline, all, over);
  }, [size, view, outline, found.data, over, theme]);

  /** Whole world first, then once to where the devices are. */
  useEffect(() => {
    if (!fitted.current && all.length) {
      fitted.current = true;
      setView(around(all, size));
    }
  }, [found.data]);

  const at = (event: MouseEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const under = (event: MouseEvent): Place | null => {
    const [x, y] = at(event);
    const far = (place: Place) => {
      const [px, py] = toPixels(view, size, place.lng, place.lat);
      return Math.hypot(px - x, py - y) - radius(place.devices);
    };
    return all.reduce<Place | null>((best, place) => (far(place) < 4 && (!best || far(place) < far(best)) ? place : best), null);
  };

  const drag = useRef<{ x: number; y: number; view: View; moved: boolean } | null>(null);
  const down = (event: PointerEvent) => {
    if (event.pointerType === "touch") return; // a finger scrolls the page
    canvas.current!.setPointerCapture(event.pointerId);
    drag.current = { x: event.clientX, y: event.clientY, view, moved: false };
  };
  const move = (event: PointerEvent) => {
    const from = drag.current;
    if (!from) return setOver(under(event));
    const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
    from.moved ||= Math.hypot(dx, dy) > 3;
    if (from.moved) setView(moved(from.view, size, dx, dy));
  };
  const click = (event: MouseEvent) => {
    const dragged = drag.current?.moved;
    drag.current = null;
    const place = dragged ? null : under(event);
    if (place?.devices === 1) go(["devices", place.id]);
    else if (place) setView(zoomed({ ...view, lng: place.lng, lat: place.lat }, size, 4));
  };
  const wheel = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    setView(zoomed(view, size, 2 ** (-event.deltaY / 200), ...at(event)));
  };
  const keys = (event: KeyboardEvent) => {
    const step = 60;
    const changes: Record<string, () => View> = {
      ArrowLeft: () => moved(view, size, step, 0),
      ArrowRight: () => moved(view, size, -step, 0),
      ArrowUp: () => moved(view, size, 0, step),
      ArrowDown: () => moved(view, size, 0, -step),
      "+": () => zoomed(view, size, 2),
      "-": () => zoomed(view, size, 0.5),
      "0": () => WORLD,
    };
    const change = changes[event.key];
    if (!change) return;
    event.preventDefault();
    setView(change());
  };

  const placed = all.reduce((sum, place) => sum + place.devices, 0);
  const says = found.error
    ? found.error.message
    : over
      ? over.devices === 1
        ? over.id
        : `${count(over.devices)} devices`
      : found.data
        ? placed
          ? `${count(placed)} devices in view`
          : "No device here has a location"
        : "Loading …";
  return (
    <div class="map">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={`Map of devices. ${says}. Arrows move it, plus and minus zoom, 0 shows the world.`}
        style={{ height: `${size.height}px` }}
        onPointerDown={down}
        onPointerMove={move}
        onPointerLeave={() => setOver(null)}
        onClick={click}
        onWheel={wheel}
        onKeyDown={keys}
      />
      <div class="tools">
        <button class="button" type="button" aria-label="Nearer" onClick={() => setView(zoomed(view, size, 2))}>
          +
        </button>
        <button class="button" type="button" aria-label="Further" onClick={() => setView(zoomed(view, size, 0.5))}>
          −
        </button>
        <button class="button" type="button" aria-label="All devices" onClick={() => setView(all.length && view.zoom === 1 ? around(all, size) : WORLD)}>
          ⤢
        </button>
      </div>
      <span class="says">{says}</span>
    </div>
  );
}
