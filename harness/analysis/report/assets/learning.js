"use strict";
// Learning curves of the trials that stand first in the table of trials.

const MOST_CURVES = 12;
const MEASURES_FIRST = ["loss", "map_avg", "learning_rate", "lr"];
const DASHES = ["solid", "dot", "dash", "longdash"];

function learningFigure(trials, view, measure) {
  const byId = new Map(trials.map(trial => [trial.id, trial]));
  const rows = view ? view.shown.map(item => byId.get(item.row.dataset.id)) : trials;
  const chosen = rows.filter(trial => trial && measure in trial.curves).slice(0, MOST_CURVES);
  const settings = [...new Set(chosen.map(trial => trial.setting))];
  const seen = new Map();
  const data = chosen.map(trial => {
    const repeat = seen.get(trial.setting) ?? 0;
    seen.set(trial.setting, repeat + 1);
    const curve = trial.curves[measure];
    return {
      type: "scatter", mode: curve.x.length > 1 ? "lines" : "markers", x: curve.x, y: curve.y, name: literal(trial.trial),
      line: { color: `@${settings.indexOf(trial.setting) % 7}`, width: 1.6, dash: DASHES[repeat % DASHES.length] },
      marker: { color: `@${settings.indexOf(trial.setting) % 7}` },
      hovertext: curve.x.map((place, index) => `<b>${literal(trial.trial)}</b><br>${curve.per} ${place}: ${curve.y[index].toPrecision(4)}`),
      hoverinfo: "text",
    };
  });
  const per = chosen[0]?.curves[measure].per ?? "epoch";
  const wide = document.getElementById("learning").clientWidth >= NARROW_PX;
  return {
    data,
    layout: {
      xaxis: { title: { text: per } }, yaxis: { title: { text: literal(measure.replaceAll("_", " ")) } },
      showlegend: wide, legend: { orientation: "v", x: 1.02, xanchor: "left", y: 1, yanchor: "top", font: { size: 11 } },
      annotations: data.length ? [] : [{ text: "no such measurement of these trials", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }],
    },
  };
}

// plotly.js reads <b> and entities in texts.
function literal(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function setUpLearning(trials) {
  const select = document.getElementById("learning-measure");
  if (!select) return () => null;
  const rank = name => { const place = MEASURES_FIRST.indexOf(name); return place < 0 ? MEASURES_FIRST.length : place; };
  const measures = [...new Set(trials.flatMap(trial => Object.keys(trial.curves)))];
  measures.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  select.append(...measures.map(name => new Option(name.replaceAll("_", " "), name)));
  return () => learningFigure(trials, tableViews.get("trials"), select.value);
}
