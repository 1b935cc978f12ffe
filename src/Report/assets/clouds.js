// Clouds of points: still ones side by side, and one that moves.

const key = (tone, label) => {
  const element = make("span", { className: "key" }, label);
  element.style.setProperty("--tone", `var(--${tone})`);
  return element;
};

const classKeys = (classes) => {
  const seen = [...new Set(classes)].sort((a, b) => a - b);
  return seen.length > 8 ? [] : seen.map((index) => key(`series-${index % 8}`, `class ${index}`));
};

const readCloud = async (cloud) => ({
  ...cloud,
  points: await unpack(cloud.points),
  classes: cloud.classes && (await unpack(cloud.classes)),
});

// Panels over one window. They share the pointer and the zoom: what is seen at a place in one is seen in the others.
const mountScatter = async (stage, spec) => {
  const panels = await Promise.all(spec.panels.map(async (panel) => ({
    title: panel.title,
    clouds: await Promise.all(panel.clouds.map(readCloud)),
    plane: new Plane(spec.window, { description: `${panel.title}: ${spec.description}`, xLabel: spec.x, yLabel: spec.y }),
  })));
  const readout = make("p", { className: "readout" });
  let pointer = null;
  let box = null;

  const draw = () => panels.forEach(({ plane, clouds }) => {
    if (!plane.begin()) return;
    plane.axes();
    clouds.forEach((cloud) => plane.dots(cloud.points, cloud.tone, cloud.classes));
    plane.clipped((pen) => {
      pen.strokeStyle = colour("quiet");
      pen.lineWidth = 1;
      if (pointer && !box) {
        pen.globalAlpha = 0.5;
        pen.beginPath();
        pen.moveTo(plane.column(pointer[0]), 0);
        pen.lineTo(plane.column(pointer[0]), 9999);
        pen.moveTo(0, plane.row(pointer[1]));
        pen.lineTo(9999, plane.row(pointer[1]));
        pen.stroke();
      }
      if (box) {
        const [ax, ay, bx, by] = box;
        pen.strokeRect(plane.column(ax), plane.row(ay), (bx - ax) / plane.unit, (ay - by) / plane.unit);
      }
    });
  });

  let pending = 0;
  const later = () => {
    pending ||= requestAnimationFrame(() => {
      pending = 0;
      draw();
    });
  };

  const zoom = (view) => {
    panels.forEach(({ plane }) => (plane.view = view || plane.home));
    later();
  };

  const row = make("div", { className: panels.length === 1 ? "solo" : "panels" });
  for (const { title, clouds, plane } of panels) {
    const named = clouds.length > 1 ? clouds.map((cloud) => key(cloud.tone, cloud.label)) : [];
    const classed = clouds.length === 1 && clouds[0].classes ? classKeys(clouds[0].classes) : [];
    const total = clouds.reduce((sum, cloud) => sum + cloud.points.length / 2, 0);
    const count = make("span", { className: "count" }, counted(total, "point"));
    row.append(make("div", {}, make("p", { className: "panel-title" }, title, count, ...named, ...classed), plane.canvas));

    const place = (event) => {
      const { left, top } = plane.canvas.getBoundingClientRect();
      return [plane.x(event.clientX - left), plane.y(event.clientY - top)];
    };
    plane.canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      const at = place(event);
      box = [...at, ...at];
      plane.canvas.setPointerCapture(event.pointerId);
    });
    plane.canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      pointer = place(event);
      if (box) box = [box[0], box[1], ...pointer];
      readout.textContent = `${spec.x} = ${minus(pointer[0].toFixed(3))}, ${spec.y} = ${minus(pointer[1].toFixed(3))}`;
      later();
    });
    plane.canvas.addEventListener("pointerup", () => {
      if (!box) return;
      const [ax, ay, bx, by] = box;
      box = null;
      const wide = Math.abs(bx - ax);
      const high = Math.abs(by - ay);
      if (Math.max(wide, high) / plane.unit > 8) {
        zoom([Math.min(ax, bx), Math.max(ax, bx), Math.min(ay, by), Math.max(ay, by)]);
      } else later();
    });
    plane.canvas.addEventListener("pointerleave", () => {
      if (box) return;
      pointer = null;
      readout.textContent = "";
      later();
    });
    plane.canvas.addEventListener("dblclick", () => zoom(null));
  }
  stage.append(row, readout);
  keepDrawn(stage, draw);
};

// The points of all frames, and those at a place between two of them.
const readFrames = async (packed, frameCount) => {
  const all = await unpack(packed);
  const size = all.length / frameCount;
  const current = new Float32Array(size);
  return {
    size,
    all,
    at(place) {
      const below = Math.min(frameCount - 1, Math.floor(place));
      const above = Math.min(frameCount - 1, below + 1);
      const share = place - below;
      for (let i = 0; i < size; i++) {
        const value = all[below * size + i];
        current[i] = share > 0 ? value + share * (all[above * size + i] - value) : value;
      }
      return current;
    },
  };
};

const mountCloudMotion = async (stage, spec) => {
  const frames = await readFrames(spec.frames, spec.times.length);
  const classes = spec.classes && (await unpack(spec.classes));
  const behind = spec.behind && (await readCloud(spec.behind));
  const plane = new Plane(spec.window, { description: spec.description });
  const solo = make("div", { className: "solo" });
  const paths = make("button", { type: "button", className: "tool", ariaPressed: "false" }, "Paths");
  const tools = make("div", { className: "bar-of-tools" });
  const keys = classes ? classKeys(classes) : [key("model", counted(spec.count, "sample"))];
  const legend = make("span", { className: "scale" }, ...keys);
  if (behind) legend.append(key("data", behind.label));
  tools.append(legend, paths);

  // The ways of a few samples, from the start to the present: enough to see whether they are straight.
  const drawPaths = (place) => plane.clipped((pen) => {
    const count = Math.min(90, frames.size / 2);
    const stride = Math.max(1, Math.floor(frames.size / 2 / count));
    const now = frames.at(place);
    pen.lineWidth = 1;
    pen.globalAlpha = 0.55;
    for (let n = 0; n < count; n++) {
      const i = 2 * n * stride;
      pen.strokeStyle = classes ? colour(`series-${classes[i / 2] % 8}`) : colour("model");
      pen.beginPath();
      let down = false;
      const go = (x, y) => {
        if (x !== x || y !== y) down = false;
        else if (down) pen.lineTo(plane.column(x), plane.row(y));
        else {
          pen.moveTo(plane.column(x), plane.row(y));
          down = true;
        }
      };
      for (let f = 0; f <= Math.floor(place); f++) go(frames.all[f * frames.size + i], frames.all[f * frames.size + i + 1]);
      go(now[i], now[i + 1]);
      pen.stroke();
    }
  });

  const draw = (target, place) => {
    if (!target.begin()) return;
    target.axes();
    if (behind) target.dots(behind.points, behind.tone, undefined, 0.22);
    const traced = paths.ariaPressed === "true" && target === plane;
    if (traced) drawPaths(place);
    target.dots(frames.at(place), "model", classes, traced ? 0.5 : 1);
  };

  solo.append(tools, plane.canvas);
  stage.append(solo);
  const player = addPlayer(solo, spec, (place) => draw(plane, place));
  paths.addEventListener("click", () => {
    paths.ariaPressed = String(paths.ariaPressed !== "true");
    player.again();
  });
  const thumbnails = [];
  addStrip(stage, spec, player, (place) => {
    const small = new Plane(square(spec.window), { bare: true });
    thumbnails.push([small, place]);
    return small;
  });
  keepDrawn(stage, () => {
    player.again();
    thumbnails.forEach(([small, place]) => draw(small, place));
  });
};

// The smallest square window around a window.
const square = ([x0, x1, y0, y1]) => {
  const half = Math.max(x1 - x0, y1 - y0) / 2;
  const cx = (x0 + x1) / 2;
  const cy = (y0 + y1) / 2;
  return [cx - half, cx + half, cy - half, cy + half];
};
