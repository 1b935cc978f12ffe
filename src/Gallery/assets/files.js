// The files that a command reads, made where the numbers are.
import { make } from "./drawing.js";

// What numpy calls .npy: float64, in C's order.
export const npyOf = (values, shape) => {
  const text = `{'descr': '<f8', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  const header = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n";
  const bytes = new Uint8Array(10 + header.length + 8 * values.length);
  bytes.set([0x93, 78, 85, 77, 80, 89, 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(Float64Array.from(values).buffer), 10 + header.length);
  return bytes;
};

export const file = (name, content, type = "application/octet-stream") =>
  make("a", { className: "tool", download: name, href: URL.createObjectURL(new Blob([content], { type })) }, name);

// What stands beside a command.
export const beside = (...files) => make("p", { className: "downloads" }, "with ", ...files);
