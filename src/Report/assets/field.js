// A velocity field as short streamlines: each starts on a jittered grid, follows the field for a length that grows with
// the speed there, and ends in a head. Its colour is the speed.

const mountFieldMotion = async (stage, spec) => {
  const { columns, rows, times } = spec;
  const frames = await readFrames(spec.velocities, times.length);
  const clouds = spec.frames && (await readFrames(spec.frames, times.length));
  const [x0, x1, y0, y1] = spec.window;

  // A few very fast places must not leave the rest pale: the scale ends at the 98th percentile of all speeds.
  const speeds = [];
  const stride = Math.max(1, Math.floor(frames.all.length / 2 / 20000));
  for (let i = 0; i < frames.all.length / 2; i += stride) {
    const speed = Math.hypot(frames.all[2 * i], frames.all[2 * i + 1]);
    if (speed === speed) speeds.push(speed);
  }
  speeds.sort((a, b) => a - b);
  const top = speeds[Math.floor(0.98 * (speeds.length - 1))] || 1;

  const plane = new Plane(spec.window, { description: spec.description });
  const solo = make("div", { className: "solo" });
  const forwards = make("button", { type: "button", className: "tool", ariaPressed: "false" }, "Reverse arrows");
  const bar = make("span", { className: "ramp" });
  const tools = make("div", { className: "bar-of-tools" },
    make("span", { className: "scale" }, "speed", bar, `0 to ${top >= 100 ? top.toFixed(0) : top.toPrecision(2)}`), forwards);

  // The field at a point, between the nodes of its grid; null outside it.
  const velocity = (field, x, y) => {
    const gx = ((x - x0) / (x1 - x0)) * (columns - 1);
    const gy = ((y - y0) / (y1 - y0)) * (rows - 1);
    if (!(gx >= 0 && gy >= 0 && gx <= columns - 1 && gy <= rows - 1)) return null;
    const cx = Math.min(columns - 2, Math.floor(gx));
    const cy = Math.min(rows - 2, Math.floor(gy));
    const fx = gx - cx;
    const fy = gy - cy;
    const node = 2 * (cy * columns + cx);
    const mix = (o) =>
      (1 - fy) * ((1 - fx) * field[node + o] + fx * field[node + 2 + o]) +
      fy * ((1 - fx) * field[node + 2 * columns + o] + fx * field[node + 2 * columns + 2 + o]);
    return [mix(0), mix(1)];
  };

  // The same pseudo-random offset for a seed in every frame, so that nothing flickers.
  const jitter = (n) => {
    const s = Math.sin(n * 127.1 + 11.7) * 43758.5453;
    return s - Math.floor(s) - 0.5;
  };

  const draw = (target, place) => {
    if (!target.begin()) return;
    target.axes();
    if (clouds) target.dots(clouds.at(place), "noise", undefined, target === plane ? 0.55 : 0.4);
    const field = frames.at(place);
    const palette = ramp("ramp");
    const sign = forwards.ariaPressed === "true" ? 1 : -1;
    // Seeds cover the frame that is seen, which equal axes may have made larger than the grid.
    const spacing = (target === plane ? 21 : 13) * target.unit;
    const steps = 10;
    target.clipped((pen) => {
      pen.lineCap = "round";
      pen.lineWidth = target === plane ? 1.35 : 1;
      let seed = 0;
      for (let y = y0 + spacing / 2; y < y1; y += spacing) {
        for (let x = x0 + spacing / 2; x < x1; x += spacing) {
          seed++;
          let px = x + 0.5 * spacing * jitter(seed);
          let py = y + 0.5 * spacing * jitter(seed + 0.37);
          const start = velocity(field, px, py);
          if (!start) continue;
          const speed = Math.hypot(start[0], start[1]);
          if (!(speed > 1e-9 * top)) continue;
          const share = Math.min(1, speed / top);
          const reach = (spacing * (0.35 + 1.5 * Math.sqrt(share))) / steps;
          const line = [[px, py]];
          for (let i = 0; i < steps; i++) {
            const v = velocity(field, px, py);
            if (!v) break;
            const size = Math.hypot(v[0], v[1]);
            if (!(size > 0)) break;
            // Midpoint rule along the direction of the field.
            const mx = px + (sign * 0.5 * reach * v[0]) / size;
            const my = py + (sign * 0.5 * reach * v[1]) / size;
            const w = velocity(field, mx, my);
            const length = w ? Math.hypot(w[0], w[1]) : 0;
            if (!(length > 0)) break;
            px += (sign * reach * w[0]) / length;
            py += (sign * reach * w[1]) / length;
            line.push([px, py]);
          }
          if (line.length < 3) continue;
          pen.strokeStyle = pen.fillStyle = palette[Math.round(255 * Math.sqrt(share))];
          pen.beginPath();
          line.forEach(([lx, ly], i) => (i ? pen.lineTo(target.column(lx), target.row(ly)) : pen.moveTo(target.column(lx), target.row(ly))));
          pen.stroke();
          const [ex, ey] = line[line.length - 1];
          const [bx, by] = line[line.length - 3];
          const angle = Math.atan2(target.row(ey) - target.row(by), target.column(ex) - target.column(bx));
          const head = target === plane ? 4.6 : 3.2;
          pen.beginPath();
          pen.moveTo(target.column(ex) + head * Math.cos(angle), target.row(ey) + head * Math.sin(angle));
          pen.lineTo(target.column(ex) + head * 0.72 * Math.cos(angle + 2.2), target.row(ey) + head * 0.72 * Math.sin(angle + 2.2));
          pen.lineTo(target.column(ex) + head * 0.72 * Math.cos(angle - 2.2), target.row(ey) + head * 0.72 * Math.sin(angle - 2.2));
          pen.fill();
        }
      }
    });
  };

  solo.append(tools, plane.canvas);
  stage.append(solo);
  const player = addPlayer(solo, spec, (place) => draw(plane, place));
  const thumbnails = [];
  addStrip(stage, spec, player, (place) => {
    const small = new Plane(square(spec.window), { bare: true });
    thumbnails.push([small, place]);
    return small;
  });
  const drawAll = () => {
    // Colour grows as the square root of the speed; the bar is linear in the speed.
    const stops = colours("ramp");
    const placed = stops.map((stop, i) => `${stop} ${100 * (i / (stops.length - 1)) ** 2}%`);
    bar.style.background = `linear-gradient(to right, ${placed.join(", ")})`;
    player.again();
    thumbnails.forEach(([small, place]) => draw(small, place));
  };
  forwards.addEventListener("click", () => {
    forwards.ariaPressed = String(forwards.ariaPressed !== "true");
    drawAll();
  });
  keepDrawn(stage, drawAll);
};
