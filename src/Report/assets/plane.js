// A window of the plane on a canvas, with equal axes. Clouds are drawn here rather than by plotly.js: tens of thousands
// of moving points take a canvas a few milliseconds, and an SVG of them seconds.

const niceTicks = (low, high, wanted) => {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step); i <= Math.floor(high / step + 1e-9); i++) ticks.push(i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const huge = Math.max(Math.abs(low), Math.abs(high)) >= 1e5;
  return ticks.map((value) => ({ value, label: minus(huge ? value.toExponential(1) : value.toFixed(digits)) }));
};

const dotSprites = new Map();

// Stamping a picture of a dot is several times quicker than filling a path for each.
const dotSprite = (fill, radius) => {
  const key = `${fill} ${radius}`;
  if (!dotSprites.has(key)) {
    const size = Math.ceil(2 * radius + 2);
    const sprite = make("canvas", { width: size, height: size });
    const pen = sprite.getContext("2d");
    pen.fillStyle = fill;
    pen.beginPath();
    pen.arc(size / 2, size / 2, radius, 0, 2 * Math.PI);
    pen.fill();
    dotSprites.set(key, sprite);
  }
  return dotSprites.get(key);
};

class Plane {
  // `view` is [left, right, bottom, top]; bare planes have no axes.
  constructor(view, { bare = false, description = "", xLabel = "", yLabel = "" } = {}) {
    this.home = view;
    this.view = view;
    this.bare = bare;
    this.xLabel = xLabel;
    this.yLabel = yLabel;
    this.canvas = make("canvas");
    if (description) {
      this.canvas.setAttribute("role", "img");
      this.canvas.setAttribute("aria-label", description);
    }
    this.pen = this.canvas.getContext("2d");
  }

  // Takes the canvas' width as it is laid out, and clears it. False where the figure has no width to draw in.
  begin() {
    const width = this.canvas.clientWidth;
    if (!width) return false;
    const dpr = Math.max(1, window.devicePixelRatio || 1);
    const [left, right, top, bottom] = this.bare ? [0, 0, 0, 0] : [this.yLabel ? 58 : 36, 4, 4, this.xLabel ? 42 : 24];
    const [x0, x1, y0, y1] = this.home;
    const innerWidth = width - left - right;
    // A long thin window gets a frame of its shape, within limits.
    const aspect = this.bare ? 1 : Math.min(1.7, Math.max(0.8, (x1 - x0) / (y1 - y0)));
    const innerHeight = Math.round(innerWidth / aspect);
    const height = innerHeight + top + bottom;
    this.canvas.style.height = `${height}px`;
    if (this.canvas.width !== Math.round(width * dpr) || this.canvas.height !== Math.round(height * dpr)) {
      this.canvas.width = Math.round(width * dpr);
      this.canvas.height = Math.round(height * dpr);
    }
    this.dpr = dpr;
    this.inner = { left, top, width: innerWidth, height: innerHeight };
    this.fit();
    this.pen.setTransform(dpr, 0, 0, dpr, 0, 0);
    this.pen.clearRect(0, 0, width, height);
    return true;
  }

  // Grows the view about its centre until a unit of x is as long as a unit of y.
  fit() {
    const [x0, x1, y0, y1] = this.view;
    const { width, height } = this.inner;
    const unit = Math.max((x1 - x0) / width, (y1 - y0) / height);
    const cx = (x0 + x1) / 2;
    const cy = (y0 + y1) / 2;
    this.x0 = cx - (unit * width) / 2;
    this.y1 = cy + (unit * height) / 2;
    this.unit = unit;
  }

  column(x) { return this.inner.left + (x - this.x0) / this.unit; }
  row(y) { return this.inner.top + (this.y1 - y) / this.unit; }
  x(column) { return this.x0 + (column - this.inner.left) * this.unit; }
  y(row) { return this.y1 - (row - this.inner.top) * this.unit; }

  axes() {
    if (this.bare) return;
    const { pen, inner } = this;
    const right = inner.left + inner.width;
    const bottom = inner.top + inner.height;
    pen.lineWidth = 1;
    pen.font = `11px ${colour("sans")}`;
    pen.fillStyle = colour("quiet");
    pen.strokeStyle = colour("grid");
    const wanted = inner.width < 300 ? 4 : 6;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const rule = (ax, ay, bx, by) => {
      pen.beginPath();
      pen.moveTo(Math.round(ax) + 0.5, Math.round(ay) + 0.5);
      pen.lineTo(Math.round(bx) + 0.5, Math.round(by) + 0.5);
      pen.stroke();
    };
    for (const { value, label } of niceTicks(this.x0, this.x0 + inner.width * this.unit, wanted)) {
      rule(this.column(value), inner.top, this.column(value), bottom);
      pen.fillText(label, Math.min(right - 8, Math.max(inner.left + 6, this.column(value))), bottom + 7);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const { value, label } of niceTicks(this.y1 - inner.height * this.unit, this.y1, wanted)) {
      rule(inner.left, this.row(value), right, this.row(value));
      pen.fillText(label, inner.left - 7, Math.min(bottom - 4, Math.max(inner.top + 5, this.row(value))));
    }
    pen.textAlign = "center";
    pen.font = `12px ${colour("sans")}`;
    pen.fillText(this.xLabel, inner.left + inner.width / 2, bottom + 33);
    pen.save();
    pen.translate(9, inner.top + inner.height / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(this.yLabel, 0, 0);
    pen.restore();
    pen.strokeStyle = colour("rule");
    pen.strokeRect(inner.left + 0.5, inner.top + 0.5, inner.width - 1, inner.height - 1);
  }

  // Runs `draw` with the marks kept inside the frame.
  clipped(draw) {
    const { pen, inner } = this;
    pen.save();
    pen.beginPath();
    pen.rect(inner.left, inner.top, inner.width, inner.height);
    pen.clip();
    draw(pen);
    pen.restore();
  }

  countInside(points) {
    const { left, top, width, height } = this.inner;
    let inside = 0;
    for (let i = 0; i < points.length; i += 2) {
      const column = this.column(points[i]) - left;
      const row = this.row(points[i + 1]) - top;
      if (column >= 0 && column <= width && row >= 0 && row <= height) inside++;
    }
    return inside;
  }

  // Dots at interleaved points; with classes, the class of a point decides its colour. Many points in view are
  // drawn smaller and thinner, so that density stays visible.
  dots(points, tone, classes, faintness = 1) {
    const total = points.length / 2;
    const count = this.view === this.home ? total : Math.max(1, this.countInside(points));
    const area = Math.sqrt((this.inner.width * this.inner.height) / (440 * 440));
    const radius = Math.min(2.8, Math.max(0.8, (70 / Math.sqrt(count)) * area)) * this.dpr;
    const sprites = classes
      ? Array.from({ length: 8 }, (_, index) => dotSprite(colour(`series-${index}`), radius))
      : [dotSprite(colour(tone), radius)];
    this.clipped((pen) => {
      pen.globalAlpha = Math.min(0.85, Math.max(0.18, 32 / Math.sqrt(count))) * faintness;
      const size = sprites[0].width / this.dpr;
      for (let i = 0; i < total; i++) {
        const x = this.column(points[2 * i]) - size / 2;
        const y = this.row(points[2 * i + 1]) - size / 2;
        if (x === x && y === y) pen.drawImage(sprites[classes ? classes[i] % 8 : 0], x, y, size, size);
      }
    });
  }
}

// Calls `draw` now, when the figure's width changes, and when colours change.
const keepDrawn = (element, draw) => {
  let width = -1;
  new ResizeObserver(() => {
    if (element.clientWidth !== width) {
      width = element.clientWidth;
      draw();
    }
  }).observe(element);
  repaints.add(draw);
  draw();
};
