"use strict";
// What happens when: tables at once, then the figures, first those that are seen; anew when colours or width change, and
// for paper.

const page = { figures: [], failed: null };

async function start() {
  const content = JSON.parse(await unpacked("report-data"));
  for (const table of document.querySelectorAll("table[data-table]")) setUpTable(table);
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly-js");
  document.head.append(script);
  for (const place of document.querySelectorAll(".plot[data-figure]")) {
    page.figures.push({ place, figure: () => content.figures[place.dataset.figure] });
  }
  const learning = setUpLearning(content.learning);
  const place = document.getElementById("learning");
  if (place) page.figures.push({ place, figure: learning });
  const seen = page.figures.filter(entry => entry.place.getBoundingClientRect().top < innerHeight);
  for (const entry of [...seen, ...page.figures.filter(entry => !seen.includes(entry))]) {
    await nextFrame();
    await drawFigure(entry.place, entry.figure());
  }
  if (place) {
    document.getElementById("learning-measure").addEventListener("change", () => drawFigure(place, learning()));
    document.addEventListener("tableupdate", event => {
      if (event.detail.name === "trials") drawFigure(place, learning());
    });
  }
  listen();
  document.documentElement.dataset.ready = Math.round(performance.now());
}

// Lets the browser paint between figures. A page in the background gets no frames, so a timer stands in.
function nextFrame() {
  return new Promise(resolve => {
    setTimeout(resolve, 50);
    requestAnimationFrame(() => setTimeout(resolve, 0));
  });
}

function drawAll() {
  for (const { place, figure } of page.figures) drawFigure(place, figure());
}

function listen() {
  let waiting = 0;
  let width = innerWidth;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (innerWidth !== width) { width = innerWidth; drawAll(); }
    }, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("light"); drawAll(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("light"); drawAll(); });
}

start().catch(error => {
  page.failed = error;
  for (const place of document.querySelectorAll(".plot")) place.textContent = `The figures cannot be drawn here: ${error.message}`;
  throw error;
});
