// A time slider with a play button. Between two frames the figure is asked for a place in between; the arrow keys go
// frame by frame. `draw(place)` gets a place in [0, times.length - 1].

const playIcon = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 2.2v11.6c0 .6.7 1 1.2.6l8.3-5.8c.4-.3.4-.9 0-1.2L5.2 1.6C4.7 1.2 4 1.6 4 2.2z"/></svg>';
const pauseIcon = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3.5 2h3v12h-3zM9.5 2h3v12h-3z"/></svg>';

const timeAt = (times, place) => {
  const below = Math.min(times.length - 1, Math.floor(place));
  const above = Math.min(times.length - 1, below + 1);
  return times[below] + (place - below) * (times[above] - times[below]);
};

// What a slider moves along: the time between noise and data, unless a figure says otherwise.
const clockOf = (spec) => {
  const sampling = spec.times[0] >= spec.times[spec.times.length - 1];
  return spec.clock ?? { symbol: "t", first: sampling ? "noise" : "data", last: sampling ? "data" : "noise" };
};

const timeText = (clock, time) => `${clock.symbol} = ${minus((Math.abs(time) < 5e-4 ? 0 : time).toFixed(time !== 0 && Math.abs(time) < 0.01 ? 3 : 2))}`;

const addPlayer = (stage, spec, draw) => {
  const { times } = spec;
  const clock = clockOf(spec);
  const last = times.length - 1;
  const button = make("button", { type: "button", className: "play", ariaLabel: "Play", innerHTML: playIcon });
  const slider = make("input", { type: "range", min: 0, max: Math.max(last, 1), step: "any", value: 0, ariaLabel: clock.symbol === "t" ? "Time" : "Share of the way" });
  const output = make("output", { ariaLive: "off" });
  const ends = make("div", { className: "ends", ariaHidden: "true" },
    make("span", {}, clock.first), make("span", {}, clock.last));
  const player = make("div", { className: "player", role: "group", ariaLabel: "Animation" }, button, slider, output, ends);
  const listeners = [];
  let place = 0;
  let timer = 0;
  let before = 0;

  const show = (next) => {
    place = Math.min(last, Math.max(0, next));
    slider.value = place;
    slider.style.setProperty("--done", `${(100 * place) / Math.max(last, 1)}%`);
    output.textContent = timeText(clock, timeAt(times, place));
    slider.setAttribute("aria-valuetext", output.textContent);
    draw(place);
    listeners.forEach((listener) => listener(place));
  };

  const pause = () => {
    cancelAnimationFrame(timer);
    timer = 0;
    button.innerHTML = playIcon;
    button.ariaLabel = "Play";
  };

  // The whole way takes four seconds, however many frames it has.
  const step = (now) => {
    const next = place + ((now - before) / 4000) * last;
    before = now;
    show(next);
    if (place < last) timer = requestAnimationFrame(step);
    else pause();
  };

  const play = () => {
    if (place >= last) show(0);
    button.innerHTML = pauseIcon;
    button.ariaLabel = "Pause";
    before = performance.now();
    timer = requestAnimationFrame(step);
  };

  button.addEventListener("click", () => (timer ? pause() : play()));
  slider.addEventListener("input", () => {
    pause();
    show(Number(slider.value));
  });
  slider.addEventListener("keydown", (event) => {
    const towards = {
      ArrowRight: Math.floor(place + 1 + 1e-9), ArrowUp: Math.floor(place + 1 + 1e-9),
      ArrowLeft: Math.ceil(place - 1 - 1e-9), ArrowDown: Math.ceil(place - 1 - 1e-9),
      PageUp: place + last / 5, PageDown: place - last / 5, Home: 0, End: last,
    }[event.key];
    if (event.key === " ") button.click();
    else if (towards === undefined) return;
    else {
      pause();
      show(towards);
    }
    event.preventDefault();
  });
  stage.append(player);
  return { show, again: () => show(place), last, onMove: (listener) => listeners.push(listener) };
};

// Six small pictures of the whole way: an overview, a set of buttons, and what is left of the animation on paper.
// `draw(canvas, place)` fills one of them and returns nothing.
const addStrip = (stage, spec, player, thumbnail) => {
  const { times } = spec;
  const clock = clockOf(spec);
  const last = times.length - 1;
  const count = Math.min(6, times.length);
  if (count < 2) return;
  const strip = make("div", { className: "strip" });
  const places = Array.from({ length: count }, (_, i) => Math.round((i * last) / (count - 1)));
  const buttons = places.map((place) => {
    const picture = thumbnail(place);
    const button = make("button", { type: "button" }, picture.canvas, timeText(clock, times[place]));
    button.addEventListener("click", () => player.show(place));
    strip.append(button);
    return button;
  });
  player.onMove((place) => buttons.forEach((button, i) => {
    if (Math.abs(place - places[i]) < 0.5) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }));
  stage.append(strip);
};
