// Draws the land and the devices on a canvas.
import { colour } from "../theme";
import type { Place } from "./places";
import { type Size, type View, perDegree, toPixels } from "./view";

/** Rings of longitude and latitude in degrees. */
export type Outline = [number, number][][];

/** From differences of tenths of degrees (scripts/outline.mjs). */
export function unpacked(packed: number[][]): Outline {
  return packed.map((steps) => {
    const ring: [number, number][] = [];
    let [x, y] = [0, 0];
    for (let i = 0; i + 1 < steps.length; i += 2) {
      x += steps[i]!;
      y += steps[i + 1]!;
      ring.push([x / 10, y / 10]);
    }
    return ring;
  });
}

/** Radius of the dot for so many devices, pixels. */
export function radius(devices: number): number {
  return Math.min(2.5 + Math.sqrt(devices) * 0.6, 14);
}

export function draw(canvas: HTMLCanvasElement, size: Size, view: View, outline: Outline, places: Place[], found: Place | null): void {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== size.width * ratio || canvas.height !== size.height * ratio) {
    canvas.width = size.width * ratio;
    canvas.height = size.height * ratio;
  }
  const pen = canvas.getContext("2d")!;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, size.width, size.height);
  pen.fillStyle = colour("land");
  pen.beginPath();
  for (const ring of outline) {
    ring.forEach(([lng, lat], n) => {
      const [x, y] = toPixels(view, size, lng, lat);
      if (n) pen.lineTo(x, y);
      else pen.moveTo(x, y);
    });
    pen.closePath();
  }
  pen.fill("evenodd");
  graticule(pen, size, view);

  pen.fillStyle = colour("accent");
  pen.strokeStyle = colour("surface");
  pen.lineWidth = 1;
  for (const place of places) {
    const [x, y] = toPixels(view, size, place.lng, place.lat);
    pen.globalAlpha = place === found ? 1 : 0.78;
    pen.beginPath();
    pen.arc(x, y, radius(place.devices) + (place === found ? 2 : 0), 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

/** Lines of longitude and latitude: near by there is nothing else to hold on to. */
function graticule(pen: CanvasRenderingContext2D, size: Size, view: View): void {
  const wanted = 110 / perDegree(view, size);
  const step = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01].findLast((step) => step >= wanted) ?? 30;
  pen.strokeStyle = colour("grid");
  pen.lineWidth = 1;
  pen.beginPath();
  for (let lng = Math.ceil(-180 / step) * step; lng <= 180; lng += step) {
    const [x] = toPixels(view, size, lng, 0);
    if (x < 0 || x > size.width) continue;
    pen.moveTo(Math.round(x) + 0.5, 0);
    pen.lineTo(Math.round(x) + 0.5, size.height);
  }
  for (let lat = Math.ceil(-90 / step) * step; lat <= 90; lat += step) {
    const [, y] = toPixels(view, size, 0, lat);
    if (y < 0 || y > size.height) continue;
    pen.moveTo(0, Math.round(y) + 0.5);
    pen.lineTo(size.width, Math.round(y) + 0.5);
  }
  pen.stroke();
}
