// Counts what goes wrong, as attributes of the root element, so that a browser without a screen can be asked:
//   chromium --headless --dump-dom 'file:///…/report.html#check'
(() => {
  const root = document.documentElement;
  const report = (text) => {
    root.dataset.errors = Number(root.dataset.errors) + 1;
    root.dataset.error = String(text).slice(0, 500);
  };
  window.addEventListener("error", (event) => report(event.message || `${event.target.tagName} failed to load`), true);
  window.addEventListener("unhandledrejection", (event) => report(event.reason));
  // The page's policy forbids the network: an attempt to use it arrives here.
  document.addEventListener("securitypolicyviolation", (event) => report(`blocked: ${event.blockedURI}`));
  const original = console.error;
  console.error = (...words) => {
    report(words.join(" "));
    original.apply(console, words);
  };
})();
