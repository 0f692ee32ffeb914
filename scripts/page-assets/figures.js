// Runs in the pages that build-site.mjs writes.
const live = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      live.unobserve(target);
      const { data, layout } = JSON.parse(target.querySelector("script").textContent);
      target.querySelector("img")?.remove();
      Plotly.newPlot(target, data, layout, { displaylogo: false });
    }
  },
  { rootMargin: "300px" },
);
for (const figure of document.querySelectorAll(".figure")) live.observe(figure);
