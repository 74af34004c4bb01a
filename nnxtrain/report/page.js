"use strict";
// Under the pointer of a chart: a line, and the numbers there. With the keyboard: arrows on a chart in focus.
for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const { x, box, series } = JSON.parse(svg.dataset.chart);
  const readout = svg.nextElementSibling;
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", box[2]);
  cursor.setAttribute("y2", box[3]);
  const steps = [...new Set(series.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
  let index = -1;
  const show = (to) => {
    index = Math.max(0, Math.min(steps.length - 1, to));
    const step = steps[index];
    const place = box[0] + ((step - x[0]) / (x[1] - x[0])) * (box[1] - box[0]);
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    svg.append(cursor);
    readout.textContent = `step ${step} `;
    for (const line of series) {
      const before = line.points.filter((point) => point[0] <= step).pop();
      if (!before) continue;
      const item = document.createElement("span");
      item.className = `k${line.color}`;
      item.textContent = `${line.name} ${Number(before[1].toPrecision(4))}`;
      readout.append(item, " ");
    }
  };
  svg.tabIndex = 0;
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    const at = ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width;
    const wanted = x[0] + ((at - box[0]) / (box[1] - box[0])) * (x[1] - x[0]);
    let best = 0;
    steps.forEach((step, i) => { if (Math.abs(step - wanted) < Math.abs(steps[best] - wanted)) best = i; });
    show(best);
  });
  svg.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") show(index + 1);
    else if (event.key === "ArrowLeft") show(index < 0 ? steps.length - 1 : index - 1);
    else return;
    event.preventDefault();
  });
  svg.addEventListener("pointerleave", () => { cursor.remove(); readout.textContent = ""; });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => { item.open = true; }));
