() => {
  // The page has one look: its drawings are made for a light ground.
  document.body.classList.remove("dark");
  // A click sets a hidden field, and Gradio does the rest.
  const open = (value) => {
    const box = document.querySelector("#sc-open textarea, #sc-open input");
    if (!box || !value) return;
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open]");
    if (button) open(button.dataset.open);
  });
  // Plotly draws after Gradio has put the figure there, and anew for each figure.
  const listen = () => {
    for (const plot of document.querySelectorAll("#sc-map .js-plotly-plot")) {
      if (plot.dataset.listening || !plot.on) continue;
      plot.dataset.listening = "yes";
      plot.on("plotly_click", (event) => open(event.points[0].customdata));
    }
  };
  new MutationObserver(listen).observe(document.body, { childList: true, subtree: true });
  listen();
}
