// Draws the parts of a report that can be explored.

drawCurve(document.getElementById("curve"));

function drawRun(run) {
  drawHistograms(document.getElementById("histograms"), run);
  drawRecordings(document.getElementById("recordings"), run);
}

const names = data.points.map((p) => p.name);
if (names.length > 1)
  document.getElementById("choice").append(
    make("h2", {}, "One run"),
    make("div", { class: "row" }, chooser("Run", names, names[0], drawRun)));
drawRun(names[0]);
