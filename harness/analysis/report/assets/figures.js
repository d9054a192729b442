"use strict";
// Figures come as values in which a colour is a name (@0, @ink, @muted/0.3); they are drawn in the colours of the
// screen, and in those of paper while the page is printed.

const NARROW_PX = 640;
const PRINT_PX = 700;

async function unpacked(id) {
  const coded = document.getElementById(id).textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(coded) : decoded(atob(coded));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function decoded(binary) {
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

function themeColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["page", "panel", "ink", "muted", "line", "c0", "c1", "c2", "c3", "c4", "c5", "c6"];
  return Object.fromEntries(names.map(name => [name.replace(/^c(?=\d)/, ""), style.getPropertyValue(`--${name}`).trim()]));
}

function colourOf(name, colours) {
  const parts = /^@(\w+)(?:\/([\d.]+))?$/.exec(name);
  if (!parts) return name;
  const hex = colours[parts[1]];
  if (!parts[2]) return hex;
  const [red, green, blue] = [1, 3, 5].map(start => parseInt(hex.slice(start, start + 2), 16));
  return `rgba(${red},${green},${blue},${parts[2]})`;
}

// A copy with colours for names; only what is a colour is looked at, a class may be called @0.
function coloured(value, colours, key = "") {
  if (Array.isArray(value)) return value.map(item => coloured(item, colours, key));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, coloured(item, colours, name)]));
  }
  return typeof value === "string" && /color$/.test(key) ? colourOf(value, colours) : value;
}

function axisLook(axis, colours) {
  return {
    gridcolor: colours.line, linecolor: colours.muted, zerolinecolor: colours.muted, tickcolor: colours.muted,
    zeroline: false, showline: true, ticks: "outside", ticklen: 4, automargin: true, ...axis,
    title: { standoff: 8, ...axis?.title },
  };
}

function shortened(axis) {
  return axis?.title ? { ...axis, title: { ...axis.title, text: axis.title.text.replace(", logarithmic", " (log)") } } : axis;
}

function layoutFor(layout, colours, width) {
  const narrow = width < NARROW_PX;
  return {
    width, height: narrow ? 340 : 400, margin: { l: 56, r: 24, t: 16, b: 48 }, hovermode: "closest", dragmode: "zoom",
    font: { family: "system-ui, 'DejaVu Sans', sans-serif", size: narrow ? 11 : 12.5, color: colours.ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.muted, activecolor: colours.ink },
    hoverlabel: { bgcolor: colours.panel, bordercolor: colours.muted, font: { color: colours.ink, size: 12 }, align: "left" },
    ...coloured(layout, colours),
    xaxis: axisLook(coloured(narrow ? shortened(layout.xaxis) : layout.xaxis, colours), colours),
    yaxis: axisLook(coloured(narrow ? shortened(layout.yaxis) : layout.yaxis, colours), colours),
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", ...layout.legend },
  };
}

// On a narrow screen names beside the points cover each other, and large bubbles too; touching a point tells its name.
function tracesFor(traces, colours, width) {
  return traces.map(trace => {
    const shown = coloured(trace, colours);
    if (width >= NARROW_PX) return shown;
    if (shown.mode) shown.mode = shown.mode.replace("+text", "");
    if (Array.isArray(shown.marker?.size)) shown.marker.size = shown.marker.size.map(size => 0.6 * size);
    return shown;
  });
}

function drawFigure(place, figure) {
  const printing = document.documentElement.classList.contains("light");
  const width = printing ? PRINT_PX : Math.max(place.clientWidth, 200);
  const colours = themeColours();
  const name = place.dataset.figure ?? place.id;
  const config = {
    displaylogo: false, displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], doubleClick: "reset",
    toImageButtonOptions: { format: "svg", filename: name },
  };
  place.style.minHeight = 0;
  return Plotly.react(place, tracesFor(figure.data, colours, width), layoutFor(figure.layout, colours, width), config);
}
