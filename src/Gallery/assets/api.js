// What the page asks of the server. A refusal has one sentence, which is shown as it is.

export class Refusal extends Error {
  constructor(status, sentence, seconds) {
    super(sentence);
    this.status = status;
    this.seconds = seconds;
  }
}

const refusalOf = async (response) => {
  let sentence = `The gallery answered ${response.status}.`;
  try {
    sentence = (await response.json()).detail ?? sentence;
  } catch {
    // The status has to do.
  }
  return new Refusal(response.status, sentence, Number(response.headers.get("Retry-After") ?? 1));
};

const pause = (seconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, 1000 * seconds);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(signal.reason);
  }, { once: true });
});

// A full queue is waited for, a few times; `onWait` hears of it.
const ask = async (address, { signal, body, onWait } = {}) => {
  const request = body === undefined
    ? { signal }
    : { signal, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  for (let turn = 1; ; turn++) {
    let response;
    try {
      response = await fetch(address, request);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0, "The gallery does not answer: it may have ended.");
    }
    if (response.ok) return response;
    const refusal = await refusalOf(response);
    if (refusal.status !== 429 || turn === 10) throw refusal;
    onWait?.(refusal.message);
    await pause(refusal.seconds, signal);
  }
};

export const askJson = async (address, options) => (await ask(address, options)).json();

// Server-sent events of a request of any method, as an asynchronous sequence of { name, data }.
export async function* askEvents(address, options) {
  const response = await ask(address, options);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const fields = Object.fromEntries(text.slice(0, end).split("\n").map((line) => {
          const colon = line.indexOf(": ");
          return [line.slice(0, colon), line.slice(colon + 2)];
        }));
        text = text.slice(end + 2);
        yield { name: fields.event, data: JSON.parse(fields.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export const modelAddress = (name, rest = "") => `/api/models/${encodeURIComponent(name)}${rest}`;

// Settings as a query: what is left open is left out.
export const queryOf = (values) => {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, value);
  }
  return query.toString();
};

// A part of run.json: its name, or an object with its name and numbers.
export const nameOf = (part) => part?.name ?? part;
