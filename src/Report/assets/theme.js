// Colours come from the style sheet, so that figures follow the reader's light or dark scheme.
const root = document.documentElement;
const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const colours = (name) => colour(name).split(",").map((part) => part.trim());

// Everything on the page that has to be drawn again when the scheme changes.
const repaints = new Set();
const repaint = () => repaints.forEach((draw) => draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// 256 CSS colours along the stops of a ramp.
const ramp = (name) => {
  const stops = colours(name).map(parts);
  return Array.from({ length: 256 }, (_, index) => {
    const place = (index / 255) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(place));
    const mixed = stops[below].map((part, i) => Math.round(part + (place - below) * (stops[below + 1][i] - part)));
    return `rgb(${mixed.join(",")})`;
  });
};

// A new element: make("button", { className: "tool" }, "text", child, …).
const make = (name, properties = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};
