// In the place of plotly.js where a page's program was built without npm: each chart says so, and the tables have the numbers.
window.Plotly = {
  react: async (target) => {
    target.textContent = "This chart is not drawn: the program that made this page was built without npm, from where its drawing library comes.";
    return target;
  },
  downloadImage: () => {},
};
