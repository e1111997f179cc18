// What the page does by itself: sliders over frames that are there, files, points, painted masks.
"use strict";

window.studio = (() => {
  const sent = {}; // tab -> what goes with its next request
  const part = (tab) => (sent[tab] ??= {});
  const MOST = 16 * 2 ** 20; // bytes of a file

  function scrub(input) {
    const box = input.closest(".scrub"), i = Number(input.value), last = Number(input.max);
    for (const image of box.querySelectorAll(".window img"))
      image.style.left = `${-100 * (Number(image.dataset.left) + i * Number(image.dataset.step))}%`;
    box.querySelector("output").textContent = box.dataset.marks.split("\n")[i];
    const place = box.querySelector("[id=place]"), end = box.querySelector("[id=end]");
    if (place && end) {
      place.removeAttribute("transform");
      const way = end.getBBox().x - place.getBBox().x;
      place.setAttribute("transform", `translate(${(way * i) / last} 0)`);
    }
  }

  function choose(input) {
    const label = input.closest(".file"), shown = label.querySelector("img");
    const { tab, slot } = label.dataset, [file] = input.files;
    delete part(tab)[slot];
    shown.hidden = true;
    if (!file) return;
    if (file.size > MOST) {
      part(tab)[slot] = { name: file.name, size: file.size };
      return;
    }
    const reader = new FileReader();
    reader.onload = () => {
      part(tab)[slot] = { name: file.name, data: reader.result };
      shown.onload = () => { shown.hidden = Boolean(sheetOf(tab)); };
      shown.src = reader.result;
      show(tab, reader.result);
    };
    reader.readAsDataURL(file);
  }

  // An image with points and paint on it: all in pixels of the image's own file.
  const sheetOf = (tab) => document.querySelector(`.canvas[data-tab="${tab}"]`);

  function show(tab, source, drawn = false) {
    const box = sheetOf(tab);
    if (!box) return;
    const image = box.querySelector("img"), paint = box.querySelector("canvas");
    box.dataset.drawn = drawn;
    image.onload = () => {
      image.hidden = false;
      paint.width = image.naturalWidth;
      paint.height = image.naturalHeight;
      clear(tab);
    };
    image.src = source;
  }

  function clear(tab) {
    const paint = sheetOf(tab).querySelector("canvas");
    paint.getContext("2d").clearRect(0, 0, paint.width, paint.height);
    Object.assign(part(tab), { points: [], mask: undefined });
    arrows(tab);
  }

  function arrows(tab) {
    const box = sheetOf(tab), { width, height } = box.querySelector("canvas");
    const size = Math.max(width, height) / 40;
    const drawn = (part(tab).points ?? []).map(([x, y, u, v]) => {
      const circle = (a, b, kind) =>
        `<circle class="${kind}" cx="${a + 0.5}" cy="${b + 0.5}" r="${size}"/>`;
      if (u === undefined) return circle(x, y, "handle");
      return `<line x1="${x + 0.5}" y1="${y + 0.5}" x2="${u + 0.5}" y2="${v + 0.5}"
        stroke-width="${size / 2}"/>${circle(x, y, "handle")}${circle(u, v, "target")}`;
    });
    const svg = box.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.innerHTML = drawn.join("");
  }

  function where(event, paint) {
    const { left, top, width, height } = paint.getBoundingClientRect();
    const x = Math.floor(((event.clientX - left) / width) * paint.width);
    const y = Math.floor(((event.clientY - top) / height) * paint.height);
    return [Math.min(Math.max(x, 0), paint.width - 1), Math.min(Math.max(y, 0), paint.height - 1)];
  }

  function stroke(event, paint, wipe) {
    const [x, y] = where(event, paint), pen = paint.getContext("2d");
    pen.globalCompositeOperation = wipe ? "destination-out" : "source-over";
    pen.beginPath();
    pen.arc(x + 0.5, y + 0.5, Math.max(paint.width, paint.height) / 16, 0, 7);
    pen.fill();
  }

  // The mask is black where paint is, which is what must stay, and white elsewhere.
  function masked(tab, paint) {
    const sheet = document.createElement("canvas"), pen = sheet.getContext("2d");
    [sheet.width, sheet.height] = [paint.width, paint.height];
    pen.drawImage(paint, 0, 0);
    const data = pen.getImageData(0, 0, sheet.width, sheet.height), levels = data.data;
    let any = false;
    for (let i = 0; i < levels.length; i += 4) {
      const stays = levels[i + 3] > 127;
      any ||= stays;
      levels.fill(stays ? 0 : 255, i, i + 3);
      levels[i + 3] = 255;
    }
    pen.putImageData(data, 0, 0);
    part(tab).mask = any ? { name: "mask.png", data: sheet.toDataURL("image/png") } : undefined;
  }

  document.addEventListener("pointerdown", (event) => {
    const paint = event.target, box = paint.closest?.(".canvas");
    if (!box || paint.tagName !== "CANVAS") return;
    const { tab } = box.dataset, mode = box.querySelector(":checked").value;
    if (mode === "point") {
      const points = (part(tab).points ??= []), last = points.at(-1);
      if (last?.length === 2) last.push(...where(event, paint));
      else points.push(where(event, paint));
      arrows(tab);
      return;
    }
    const draw = (move) => stroke(move, paint, mode === "wipe");
    const end = () => {
      paint.removeEventListener("pointermove", draw);
      masked(tab, paint);
    };
    paint.setPointerCapture(event.pointerId);
    draw(event);
    paint.addEventListener("pointermove", draw);
    paint.addEventListener("pointerup", end, { once: true });
  });

  document.addEventListener("click", ({ target }) => {
    const box = target.closest?.(".canvas");
    if (box && target.tagName === "BUTTON") clear(box.dataset.tab);
  });

  function take(tab) {
    const image = document.querySelector(`#${tab}-result .drawn img`);
    if (image) show(tab, image.src, true);
  }

  // What was drawn is not what would be drawn now.
  function outdated(tab) {
    const box = sheetOf(tab), paint = box.querySelector("canvas");
    if (box.dataset.drawn !== "true") return;
    box.querySelector("img").hidden = true;
    paint.width = paint.height = 1;
    clear(tab);
  }

  document.addEventListener("input", ({ target }) => {
    if (target.closest(".scrub")) scrub(target);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.type === "file" && target.closest(".file")) choose(target);
  });

  // A point without a target is not sent.
  function send(tab, [, ...values]) {
    const points = (part(tab).points ?? []).filter((row) => row.length === 4);
    return [JSON.stringify({ ...part(tab), points }), ...values];
  }

  return { send, take, outdated };
})();
