// The fields of the settings, each with its label.
import { make } from "./drawing.js";

export const field = (label, input, note = "") => {
  const id = `setting-${label.toLowerCase().replace(/\W+/g, "-")}`;
  input.id = id;
  const parts = [make("label", { htmlFor: id }, label), input];
  if (note) {
    input.setAttribute("aria-describedby", `${id}-note`);
    parts.push(make("p", { className: "field-note", id: `${id}-note` }, note));
  }
  return make("div", { className: "field" }, ...parts);
};

export const choice = (entries, value = "") => {
  const select = make("select", {}, ...entries.map(([key, text, title]) => make("option", { value: key, title: title ?? "" }, text)));
  select.value = value;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  return select;
};

export const number = (value, { min, max, step = 1, placeholder = "" } = {}) =>
  make("input", { type: "number", value, min: min ?? "", max: max ?? "", step, placeholder, inputMode: step === 1 ? "numeric" : "decimal" });

export const solverEntries = (parts) => [
  ["", "the usual one"],
  ...parts.solvers.map((solver) => [solver.name, `${solver.name}${solver.isStochastic ? " ~" : ""}`, `${solver.equation} (${solver.reference})`]),
];

export const classEntries = (model, first) => [
  ...(first ? [["", first]] : []),
  ...model.classes.map((name, k) => [String(k), name]),
];
