import type { Font, Weight } from "./svg-font";
import type { Window } from "./svg-window";

type Fonts = Readonly<Record<Weight, Font>>;

/** What is read of an SVG element, or of a text inside it (nodeType 3). */
interface Element {
  readonly nodeType: number;
  readonly tagName: string;
  readonly textContent: string;
  readonly childNodes: Iterable<Element>;
  readonly parentNode: Element | null;
  readonly style?: { readonly fontSize: string; readonly fontWeight: string; readonly textAnchor: string };
  getAttribute?(name: string): string | null;
  querySelectorAll(selector: string): Iterable<Element>;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

type Point = readonly [number, number];

/** Gives the window the measures that plotly asks for to lay out text; jsdom does no layout. */
export function installBoxes(window: Window, fonts: Fonts): void {
  const prototype = window.SVGElement.prototype;
  prototype.getBBox = function (this: Element) {
    return rectangle(boxOf(this, this, fonts));
  };
  prototype.getBoundingClientRect = function (this: Element) {
    return rectangle(boxOf(this, null, fonts));
  };
  prototype.getComputedTextLength = function (this: Element): number {
    return widthOf(this, fonts);
  };
  prototype.getTotalLength = function (this: Element): number {
    return lengths(pointsOf(this)).reduce((sum, length) => sum + length, 0);
  };
  prototype.getPointAtLength = function (this: Element, distance: number): { x: number; y: number } {
    return pointAt(pointsOf(this), distance);
  };
}

/** Box of a text, or around all texts of a group, in the coordinates of `frame` (null: of the page). */
function boxOf(element: Element, frame: Element | null, fonts: Fonts): Box {
  const corners = [...(element.tagName === "text" ? [element] : element.querySelectorAll("text"))].flatMap((text) => {
    const { left, right, top, bottom } = ownBox(text, fonts);
    const toFrame = transformTo(text, frame);
    return [toFrame([left, top]), toFrame([right, top]), toFrame([left, bottom]), toFrame([right, bottom])];
  });
  if (corners.length === 0) return { left: 0, right: 0, top: 0, bottom: 0 };
  const [x, y] = [corners.map((corner) => corner[0]), corners.map((corner) => corner[1])];
  return { left: Math.min(...x), right: Math.max(...x), top: Math.min(...y), bottom: Math.max(...y) };
}

function ownBox(text: Element, fonts: Fonts): Box {
  const size = fontSize(text);
  const spans = [...text.querySelectorAll("tspan.line")];
  const width = Math.max(...(spans.length > 0 ? spans : [text]).map((line) => widthOf(line, fonts)));
  const [x, y] = [Number(text.getAttribute?.("x") ?? 0), Number(text.getAttribute?.("y") ?? 0)];
  const anchor = text.style?.textAnchor || text.getAttribute?.("text-anchor");
  const left = anchor === "middle" ? x - width / 2 : anchor === "end" ? x - width : x;
  const lines = Math.max(0, spans.length - 1);
  return { left, right: left + width, top: y - 0.95 * size, bottom: y + (0.25 + 1.3 * lines) * size };
}

function rectangle({ left, right, top, bottom }: Box): Box & { x: number; y: number; width: number; height: number } {
  return { left, right, top, bottom, x: left, y: top, width: right - left, height: bottom - top };
}

/** The transforms of an element and of the groups around it, up to the frame but without the frame's own. */
function transformTo(element: Element, frame: Element | null): (point: Point) => Point {
  const steps: ((point: Point) => Point)[] = [];
  for (let at: Element | null = element; at?.getAttribute && at !== frame; at = at.parentNode) {
    const parts = [...(at.getAttribute("transform") ?? "").matchAll(/(translate|rotate|scale)\(([^)]*)\)/g)];
    // the last part acts first
    for (const [, kind, list] of parts.reverse())
      steps.push(transform(kind!, (list!.match(/-?[\d.]+(?:e-?\d+)?/gi) ?? []).map(Number)));
  }
  return (point) => steps.reduce((p, step) => step(p), point);
}

function transform(kind: string, numbers: readonly number[]): (point: Point) => Point {
  const [a = 0, b, c = 0] = numbers;
  if (kind === "translate") return ([x, y]) => [x + a, y + (b ?? 0)];
  if (kind === "scale") return ([x, y]) => [x * a, y * (b ?? a)];
  const [cos, sin] = [Math.cos((a * Math.PI) / 180), Math.sin((a * Math.PI) / 180)];
  return ([x, y]) => [(b ?? 0) + (x - (b ?? 0)) * cos - (y - c) * sin, c + (x - (b ?? 0)) * sin + (y - c) * cos];
}

function widthOf(node: Element, fonts: Fonts): number {
  if (node.nodeType !== 3) return [...node.childNodes].reduce((sum, child) => sum + widthOf(child, fonts), 0);
  const font = isBold(node.parentNode) ? fonts.bold : fonts.regular;
  return (
    [...node.textContent].reduce((sum, character) => sum + font(character.codePointAt(0)!), 0) *
    fontSize(node.parentNode)
  );
}

function fontSize(element: Element | null): number {
  for (let at = element; at?.style; at = at.parentNode) {
    const size = /([\d.]+)px/.exec(at.style.fontSize || at.getAttribute?.("font-size") || "");
    if (size) return Number(size[1]);
  }
  return 12;
}

function isBold(element: Element | null): boolean {
  for (let at = element; at?.style; at = at.parentNode) {
    const weight = at.style.fontWeight || at.getAttribute?.("font-weight");
    if (weight) return weight === "bold" || Number(weight) >= 600;
  }
  return false;
}

/** Corner points of a path of M and L commands. */
function pointsOf(path: Element): Point[] {
  const numbers = (path.getAttribute?.("d") ?? "").match(/-?[\d.]+(?:e-?\d+)?/gi)?.map(Number) ?? [];
  return Array.from(
    { length: Math.floor(numbers.length / 2) },
    (_, i) => [numbers[2 * i]!, numbers[2 * i + 1]!] as const,
  );
}

function lengths(points: readonly Point[]): number[] {
  return points.slice(1).map(([x, y], i) => Math.hypot(x - points[i]![0], y - points[i]![1]));
}

function pointAt(points: readonly Point[], distance: number): { x: number; y: number } {
  let left = distance;
  for (const [i, length] of lengths(points).entries()) {
    if (left <= length && length > 0) {
      const [[x0, y0], [x1, y1]] = [points[i]!, points[i + 1]!];
      return { x: x0 + ((x1 - x0) * left) / length, y: y0 + ((y1 - y0) * left) / length };
    }
    left -= length;
  }
  const [x, y] = points.at(-1) ?? [0, 0];
  return { x, y };
}
