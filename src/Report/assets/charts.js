// Charts with numbers to be read off: plotly.js draws them. It is inflated and started when the first chart comes into
// view.

let starting = null;

const plotly = () => {
  starting ||= (async () => {
    const source = await inflate(decode(document.getElementById("plotly").textContent));
    document.head.append(make("script", { textContent: new TextDecoder().decode(source) }));
    return window.Plotly;
  })();
  return starting;
};

// Dragging zooms and a double click goes back; the page has buttons of its own, in the style of its others.
const config = { responsive: true, displayModeBar: false, doubleClickDelay: 400 };

const saveButton = (Plotly, target) => {
  const button = make("button", { type: "button", className: "tool save" }, "Save SVG");
  button.addEventListener("click", () => Plotly.downloadImage(target, { format: "svg", filename: "fokker-chart" }));
  return button;
};

// Plotly reads a few tags in its texts; ours have none.
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

// `extent` is the smallest and the greatest magnitude on the axis.
const axis = (title, logarithmic, [least, most] = [0, 0]) => {
  const large = most >= 1e4 && most < 1e9;
  const decades = logarithmic && most > 1e3 * least;
  return {
    title: { text: plain(title), standoff: 8 },
    type: logarithmic ? "log" : "linear",
    gridcolor: colour("grid"),
    linecolor: colour("rule"),
    zeroline: false,
    ticks: "outside",
    ticklen: 4,
    tickcolor: colour("rule"),
    automargin: true,
    // Whole thousands are spelt out, 20 000. Many decades are powers of ten, which Plotly sets larger than other ticks.
    tickformat: decades ? "" : logarithmic ? ".3~g" : large ? ",~r" : "",
    tickfont: { size: decades ? 10 : 12 },
    exponentformat: "power",
    hoverformat: large ? ",.6~r" : ".4~g",
  };
};

const layout = (x, y) => ({
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  font: { family: colour("sans"), size: 12, color: colour("quiet") },
  separators: ".\u202f",
  margin: { l: 56, r: 10, t: 8, b: 44 },
  height: 360,
  xaxis: x,
  yaxis: y,
  hovermode: "x unified",
  hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("rule"), font: { color: colour("ink"), size: 12 } },
  legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom", font: { color: colour("ink") } },
});

const strokes = {
  solid: () => ({ mode: "lines", line: { width: 2 } }),
  faint: () => ({ mode: "lines", line: { width: 1 }, opacity: 0.3 }),
  dashed: () => ({ mode: "lines", line: { width: 1.5, dash: "dash" } }),
  marked: () => ({ mode: "lines+markers", line: { width: 1.75 }, marker: { size: 7 } }),
};

const describe = (target, description) => {
  target.setAttribute("role", "img");
  target.setAttribute("aria-label", description);
};

const mountLines = async (stage, spec) => {
  const Plotly = await plotly();
  const lines = await Promise.all(spec.lines.map(async (line) => ({ ...line, x: await unpack(line.x), y: await unpack(line.y) })));
  const target = make("div");
  describe(target, spec.description);
  const logarithmic = { x: spec.logX, y: spec.logY };
  const places = [...new Set(lines.flatMap((line) => (line.stroke === "marked" ? [...line.x] : [])))];
  const extent = (name) => {
    let [least, most] = [Infinity, 0];
    for (const line of lines) {
      for (const value of line[name]) {
        const size = Math.abs(value);
        if (size > 0 && size < least) least = size;
        if (size > most) most = size;
      }
    }
    return [least, most];
  };

  const draw = () => {
    const traces = lines.map((line) => {
      const stroke = strokes[line.stroke]();
      const tone = colour(line.tone);
      return {
        type: "scatter", name: plain(line.label), x: line.x, y: line.y, ...stroke,
        line: { ...stroke.line, color: tone },
        // A line of one point would not be seen.
        ...(line.x.length === 1 ? { mode: "lines+markers" } : {}),
        ...(stroke.marker ? { marker: { ...stroke.marker, color: tone } } : {}),
      };
    });
    const chart = layout(axis(spec.x, logarithmic.x, extent("x")), axis(spec.y, logarithmic.y, extent("y")));
    // A few measured places, 4, 8, 16, 32: these are the ticks, rather than every digit of a decade.
    if (logarithmic.x && places.length > 0 && places.length <= 9) Object.assign(chart.xaxis, { tickmode: "array", tickvals: places });
    chart.showlegend = lines.length > 1;
    chart.margin.t = lines.length > 1 ? 34 : 8;
    return Plotly.react(target, traces, chart, config);
  };

  const tools = make("div", { className: "bar-of-tools" });
  for (const [name, label] of [["x", "Log x"], ["y", "Log y"]]) {
    const button = make("button", { type: "button", className: "tool", ariaPressed: String(logarithmic[name]) }, label);
    button.addEventListener("click", () => {
      logarithmic[name] = !logarithmic[name];
      button.ariaPressed = String(logarithmic[name]);
      draw();
    });
    tools.append(button);
  }
  tools.append(saveButton(Plotly, target));
  stage.append(tools, target);
  repaints.add(draw);
  await draw();
};

const mountHeatMap = async (stage, spec) => {
  const Plotly = await plotly();
  const [xs, ys, values] = await Promise.all([unpack(spec.xs), unpack(spec.ys), unpack(spec.values)]);
  const z = Array.from(ys, (_, row) => values.subarray(row * xs.length, (row + 1) * xs.length));
  const target = make("div");
  const solo = make("div", { className: spec.equal ? "solo" : "" },
    make("div", { className: "bar-of-tools" }, saveButton(Plotly, target)), target);
  describe(target, spec.description);

  const draw = () => {
    const stops = colours(spec.diverging ? "diverging" : "ramp");
    const trace = {
      type: "heatmap", x: xs, y: ys, z,
      colorscale: stops.map((stop, i) => [i / (stops.length - 1), stop]),
      ...(spec.diverging ? { zmid: 0 } : {}),
      colorbar: { title: { text: plain(spec.value), side: "right" }, thickness: 12, outlinewidth: 0, tickcolor: colour("rule") },
      hovertemplate: `${plain(spec.x)} %{x:.4~g}<br>${plain(spec.y)} %{y:.4~g}<br>${plain(spec.value)} %{z:.4~g}<extra></extra>`,
    };
    const chart = layout(axis(spec.x, false), axis(spec.y, false));
    chart.hovermode = "closest";
    chart.height = 420;
    if (spec.equal) Object.assign(chart.yaxis, { scaleanchor: "x", constrain: "domain" });
    if (spec.equal) chart.xaxis.constrain = "domain";
    return Plotly.react(target, [trace], chart, config);
  };
  stage.append(solo);
  repaints.add(draw);
  await draw();
};
