() => {
  // The page has one look: its drawings are made for a light ground.
  document.body.classList.remove("dark");
  // A click sets one of two hidden fields, and Gradio does the rest.
  const tell = (field, value) => {
    const box = document.querySelector(`#${field} textarea, #${field} input`);
    if (!box || !value) return;
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-compare], [data-open]");
    if (!button) return;
    if (button.dataset.compare) tell("sc-compare", button.dataset.compare);
    else tell("sc-open", button.dataset.open);
  });
  // Plotly draws after Gradio has put the figure there, and anew for each figure.
  const listen = () => {
    for (const plot of document.querySelectorAll("#sc-map .js-plotly-plot")) {
      if (plot.dataset.listening || !plot.on) continue;
      plot.dataset.listening = "yes";
      plot.on("plotly_click", (event) => tell("sc-compare", event.points[0].customdata));
    }
  };
  new MutationObserver(listen).observe(document.body, { childList: true, subtree: true });
  listen();
}
