// Samples on their way, as a stream brought them, and the ways of drawing them: points of the plane, grids of images, curves of series, lines of text.
import { Plane, colour, keepDrawn, make } from "./drawing.js";
import { Refusal, askEvents } from "./api.js";

const bytesOf = (base64) => {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
};

export class Recording {
  constructor(start) {
    Object.assign(this, start);
    this.count = start.shape[0];
    this.size = start.shape.slice(1).reduce((product, side) => product * side, 1);
    // How many numbers follow each other: of windows of series, a series' own.
    this.length = start.shape.at(-1);
    this.classes = start.labels;
    this.states = [];
  }

  add({ step, time, x, denoised }) {
    const numbers = (text) => this.seen(this.kind === "images" ? bytesOf(text) : new Float32Array(bytesOf(text).buffer));
    this.states.push({ step, time, x: numbers(x), denoised: denoised && numbers(denoised) });
  }

  // What is drawn of the numbers: of points the first two coordinates, interleaved.
  seen(values) {
    return this.kind === "points" ? this.plane(values) : values;
  }

  plane(values) {
    if (this.size === 2) return values;
    const points = new Float32Array(2 * this.count);
    for (let i = 0; i < this.count; i++) {
      points[2 * i] = values[i * this.size];
      points[2 * i + 1] = this.size > 1 ? values[i * this.size + 1] : 0;
    }
    return points;
  }

  get times() { return this.states.map((state) => state.time); }
  get last() { return this.states.length - 1; }
  get final() { return this.states[this.last]; }

  // The place at which a time is, between two states where it falls between them.
  placeOf(time) {
    const { states } = this;
    for (let k = 1; k < states.length; k++) {
      const [before, after] = [states[k - 1].time, states[k].time];
      if (time >= after) return before === after ? k : k - 1 + Math.min(1, (before - time) / (before - after));
    }
    return this.last;
  }

  // Points at a place between two states.
  pointsAt(place, which) {
    const below = this.states[Math.floor(place)];
    const above = this.states[Math.min(this.last, Math.floor(place) + 1)];
    const share = place - Math.floor(place);
    const [from, to] = [below[which] ?? below.x, above[which] ?? above.x];
    return share > 0 ? from.map((value, i) => value + share * (to[i] - value)) : from;
  }
}

// Asks for a stream and keeps what it brings; `onState` hears of each state.
export const record = async (address, options, onState) => {
  let recording = null;
  for await (const { name, data } of askEvents(address, options)) {
    if (name === "start") recording = new Recording(data);
    else if (name === "state") {
      recording.add(data);
      onState(recording);
    } else if (data.outcome !== "done") throw new Refusal(200, data.detail);
    else return recording;
  }
  throw new Refusal(0, "The gallery stopped in the middle of the samples: it may have ended.");
};

// The window that noise and data are both seen in: all of the first state but its farthest points, and of the last one once it is there.
export const windowOf = (recording) => windowAround([recording.states[0].x, recording.final.x]);

const windowAround = (states) => {
  const ends = states.map((x) => {
    const sorted = [...x].filter(Number.isFinite).sort((a, b) => a - b);
    return [0.001, 0.999].map((share) => sorted[Math.round(share * (sorted.length - 1))] ?? 0);
  });
  const [low, high] = [Math.min(...ends.map(([low]) => low)), Math.max(...ends.map(([, high]) => high))];
  const pad = 0.05 * (high - low) || 1;
  return [low - pad, high + pad, low - pad, high + pad];
};

export class CloudView {
  constructor(model, description) {
    this.model = model;
    this.plane = new Plane([-1, 1, -1, 1], { description, xLabel: "", yLabel: "" });
    this.canvas = this.plane.canvas;
    this.shows = null;
    keepDrawn(this.canvas, () => this.shows && this.draw(...this.shows));
  }

  frame(recording) {
    this.plane.home = windowOf(recording);
    this.plane.view = this.plane.home;
  }

  draw(recording, place, { which = "x", paths = false, marks = null } = {}) {
    this.shows = [recording, place, { which, paths, marks }];
    if (!this.plane.begin()) return;
    this.plane.axes();
    if (paths) this.paths(recording, place);
    this.plane.dots(recording.pointsAt(place, which), "model", recording.classes, paths || marks ? 0.5 : 1);
    if (marks) this.plane.clipped((pen) => marks(pen, this.plane));
  }

  // The ways of a few samples: enough to see whether they are straight.
  paths(recording, place) {
    const stride = Math.max(1, Math.ceil(recording.count / 90));
    const now = recording.pointsAt(place, "x");
    this.plane.clipped((pen) => {
      pen.lineWidth = 1;
      pen.globalAlpha = 0.55;
      for (let n = 0; n < recording.count; n += stride) {
        pen.strokeStyle = colour(recording.classes ? `series-${recording.classes[n] % 8}` : "model");
        pen.beginPath();
        for (let k = 0; k <= Math.floor(place); k++) {
          const { x } = recording.states[k];
          pen.lineTo(this.plane.column(x[2 * n]), this.plane.row(x[2 * n + 1]));
        }
        pen.lineTo(this.plane.column(now[2 * n]), this.plane.row(now[2 * n + 1]));
        pen.stroke();
      }
    });
  }

  thumbnail(recording, place, options) {
    const small = new Plane(this.plane.home, { bare: true });
    keepDrawn(small.canvas, () => {
      if (small.begin()) small.dots(recording.pointsAt(place, options?.which ?? "x"), "model", recording.classes);
    });
    return small;
  }
}

// Images [n; C; H; W] of bytes edge to edge on a canvas, `columns` in a row. Channels that are neither grey nor colours lie side by side.
export const sheetOf = (bytes, [count, channels, height, width], columns) => {
  const colours = channels === 3;
  const across = colours ? 1 : channels;
  const sheet = make("canvas", { width: columns * across * width, height: Math.ceil(count / columns) * height });
  const pen = sheet.getContext("2d");
  const pixels = pen.createImageData(sheet.width, sheet.height);
  const area = height * width;
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < across; c++) {
      const left = ((n % columns) * across + c) * width;
      const top = Math.floor(n / columns) * height;
      for (let i = 0; i < area; i++) {
        const from = (n * channels + c) * area + i;
        const to = 4 * ((top + Math.floor(i / width)) * sheet.width + left + (i % width));
        pixels.data[to] = bytes[from];
        pixels.data[to + 1] = bytes[colours ? from + area : from];
        pixels.data[to + 2] = bytes[colours ? from + 2 * area : from];
        pixels.data[to + 3] = 255;
      }
    }
  }
  pen.putImageData(pixels, 0, 0);
  return sheet;
};

export class ImageView {
  constructor(model, description) {
    this.model = model;
    this.canvas = make("canvas", { className: "screen", role: "img", ariaLabel: description });
    this.sheets = new WeakMap();
  }

  frame(recording) {
    this.canvas.classList.toggle("single", recording.count === 1);
    // As near a square as leaves the fewest places of the last row empty.
    const n = recording.count;
    const least = Math.ceil(Math.sqrt(n));
    const widths = Array.from({ length: Math.ceil(1.5 * least) - least + 1 }, (_, k) => least + k);
    const empty = (columns) => Math.ceil(n / columns) * columns - n;
    this.columns = widths.reduce((best, columns) => (empty(columns) < empty(best) ? columns : best));
  }

  sheet(recording, place, which, columns) {
    const state = recording.states[Math.round(place)];
    const bytes = state[which] ?? state.x;
    if (!this.sheets.has(bytes)) this.sheets.set(bytes, sheetOf(bytes, recording.shape, columns));
    return this.sheets.get(bytes);
  }

  // Each pixel of an image becomes a square of `scale` pixels.
  fill(canvas, sheet, recording, columns, rows, scale, gap) {
    const [height, width] = [recording.shape[2], sheet.width / this.columns];
    canvas.width = columns * (width * scale + gap) - gap;
    canvas.height = rows * (height * scale + gap) - gap;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    for (let i = 0; i < columns * rows; i++) {
      const [column, row] = [i % columns, Math.floor(i / columns)];
      if (row * this.columns + column >= recording.count) continue;
      pen.drawImage(sheet, column * width, row * height, width, height,
        column * (width * scale + gap), row * (height * scale + gap), width * scale, height * scale);
    }
  }

  draw(recording, place, { which = "x" } = {}) {
    const columns = Math.min(this.columns, recording.count);
    const scale = Math.max(1, Math.round(84 / recording.shape[3]));
    const sheet = this.sheet(recording, place, which, this.columns);
    this.fill(this.canvas, sheet, recording, columns, Math.ceil(recording.count / this.columns), scale, 3);
  }

  thumbnail(recording, place, options) {
    const canvas = make("canvas");
    const columns = Math.min(3, this.columns, recording.count);
    const rows = Math.min(3, Math.ceil(recording.count / this.columns));
    const sheet = this.sheet(recording, place, options?.which ?? "x", this.columns);
    this.fill(canvas, sheet, recording, columns, rows, Math.max(1, Math.round(48 / recording.shape[3])), 2);
    return { canvas };
  }
}

// Numbers at a series of each sample [count, series, length].
const ofSeries = (values, series, { size, length }) => values.filter((_, k) => Math.floor((k % size) / length) === series);

// Windows of series, each in a small panel of its own; of several series each has a colour and a scale of its own, the same in all panels.
export class SeriesView {
  constructor(model, description) {
    this.canvas = make("canvas", { className: "curves", role: "img", ariaLabel: description });
    this.shows = null;
    keepDrawn(this.canvas, () => this.shows && this.draw(...this.shows));
  }

  frame(recording) {
    const { size, length } = recording;
    this.ranges = Array.from({ length: size / length }, (_, series) =>
      windowAround([recording.states[0].x, recording.final.x].map((x) => ofSeries(x, series, recording))));
  }

  // `columns` panels in a row, `rows` rows, on a canvas of the width that it is laid out in.
  fill(canvas, recording, values, columns, rows, gap) {
    const width = canvas.clientWidth;
    if (!width) return;
    const [dpr, across] = [Math.max(1, devicePixelRatio || 1), (width - gap * (columns - 1)) / columns];
    const down = Math.round(0.5 * across);
    const height = rows * (down + gap) - gap;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dpr);
    canvas.height = Math.round(height * dpr);
    const pen = canvas.getContext("2d");
    pen.setTransform(dpr, 0, 0, dpr, 0, 0);
    const { size, length } = recording;
    const toneOf = (n, series) =>
      this.ranges.length > 1 ? `series-${series % 8}` : recording.classes ? `series-${recording.classes[n] % 8}` : "model";
    for (let n = 0; n < Math.min(recording.count, columns * rows); n++) {
      const [left, top] = [(n % columns) * (across + gap), Math.floor(n / columns) * (down + gap)];
      pen.fillStyle = colour("grid");
      pen.fillRect(left, top, across, down);
      pen.save();
      pen.beginPath();
      pen.rect(left, top, across, down);
      pen.clip();
      pen.lineWidth = 1.5;
      this.ranges.forEach(([low, high], series) => {
        pen.strokeStyle = colour(toneOf(n, series));
        pen.beginPath();
        for (let k = 0; k < length; k++) {
          pen.lineTo(left + (across * (k + 0.5)) / length, top + (down * (high - values[n * size + series * length + k])) / (high - low));
        }
        pen.stroke();
      });
      pen.restore();
    }
  }

  draw(recording, place, { which = "x" } = {}) {
    this.shows = [recording, place, { which }];
    const columns = Math.min(recording.count, this.canvas.clientWidth < 400 ? 2 : 4);
    this.fill(this.canvas, recording, recording.pointsAt(place, which), columns, Math.min(8, Math.ceil(recording.count / columns)), 6);
  }

  thumbnail(recording, place, options) {
    const canvas = make("canvas");
    keepDrawn(canvas, () => this.fill(canvas, recording, recording.pointsAt(place, options?.which ?? "x"), 1, Math.min(2, recording.count), 3));
    return { canvas };
  }
}

// Texts, a line for each sample. What is not known yet is a shade.
export class TextView {
  constructor(model, description) {
    this.canvas = make("ol", { className: "texts", ariaLabel: description, tabIndex: 0 });
  }

  frame() {}

  lines(recording, place, which, count) {
    const state = recording.states[Math.round(place)];
    const values = state[which] ?? state.x;
    const decoder = new TextDecoder();
    return Array.from({ length: Math.min(count, recording.count) }, (_, n) => {
      const codes = [...values.subarray(n * recording.size, (n + 1) * recording.size)];
      // Runs of bytes are text; between them stands what is none: a mask, which is beyond all bytes, and the noise that all begins as.
      let text = "";
      let bytes = [];
      const flush = () => {
        text += decoder.decode(Uint8Array.from(bytes));
        bytes = [];
      };
      for (const code of codes) {
        if (Math.abs(code - Math.round(code)) < 1e-3 && code > -0.5 && code < 255.5) bytes.push(Math.round(code));
        else {
          flush();
          text += "\u2591";
        }
      }
      flush();
      return text.replaceAll("\n", "\u21b5").replaceAll("\t", "\u2192").replace(/\p{Cc}/gu, "\ufffd");
    });
  }

  draw(recording, place, { which = "x" } = {}) {
    this.canvas.replaceChildren(...this.lines(recording, place, which, 200).map((line) => make("li", {}, line)));
  }

  thumbnail(recording, place, options) {
    return { canvas: make("pre", { className: "text-thumbnail" }, this.lines(recording, place, options?.which ?? "x", 3).join("\n")) };
  }
}

const views = { images: ImageView, points: CloudView, series: SeriesView, text: TextView };

export const viewOf = (model, description) => new views[model.kind](model, description);

// What one of a model's samples is called.
export const nounOf = (model) => ({ images: "image", points: "point", series: "window", text: "text" })[model.kind];
