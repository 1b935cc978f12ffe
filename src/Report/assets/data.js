// Reads back what Pack.fs wrote.
const decode = (base64) => {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
};

const inflate = async (bytes) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

const unpack = async (packed) => {
  const raw = decode(packed.bytes);
  const bytes = packed.gzip ? await inflate(raw) : raw;
  const size = { u8: 1, u16: 2, f32: 4 }[packed.type];
  if (bytes.length !== size * packed.length) throw new Error(`${bytes.length} bytes for ${packed.length} values of ${packed.type}`);
  if (packed.type === "u8") return bytes;
  if (packed.type === "f32") return new Float32Array(bytes.buffer);
  const values = new Float32Array(packed.length);
  for (let i = 0; i < values.length; i++) {
    const code = (bytes[i] << 8) | bytes[packed.length + i];
    values[i] = code === 65535 ? NaN : packed.low + packed.step * code;
  }
  return values;
};

const whole = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const counted = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
const minus = (text) => text.replace("-", "−");
