// Draws the charts anew with tooltips, in the colours that are in use; the images stay for printers, and where
// this does not run.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = [];
  async function draw(figure) {
    const definition = charts[figure.dataset.chart][dark.matches ? "dark" : "light"];
    const options = { actions: false, renderer: "svg", tooltip: { theme: dark.matches ? "dark" : "light" } };
    figure.classList.add("drawn");
    try {
      drawn.push(await vegaEmbed(figure.querySelector(".live"), definition, options));
    } catch (error) {
      figure.classList.remove("drawn");
      console.error(error);
    }
  }
  async function drawAll() {
    drawn.splice(0).forEach((each) => each.finalize());
    await Promise.all([...document.querySelectorAll("figure[data-chart]")].map(draw));
    document.documentElement.dataset.charts = dark.matches ? "dark" : "light";
  }
  dark.addEventListener("change", drawAll);
  drawAll();
})();
