for (const figure of document.querySelectorAll('.frames')) {
  const captions = JSON.parse(figure.dataset.captions);
  const [columns, rows] = figure.dataset.layout.split(' ').map(Number);
  const [width, height] = figure.dataset.size.split(' ').map(Number);
  const frame = figure.querySelector('div');
  const image = figure.querySelector('img');
  const slider = Object.assign(document.createElement('input'), { type: 'range', min: 0, max: captions.length - 1, value: 0 });
  const output = document.createElement('output');
  const label = document.createElement('label');
  function show() {
    const at = Number(slider.value);
    const across = -100 * (at % columns) / columns;
    const down = -100 * Math.floor(at / columns) / rows;
    image.style.translate = `${across}% ${down}%`;
    output.textContent = captions[at];
    slider.setAttribute('aria-valuetext', captions[at]);
  }
  slider.setAttribute('aria-label', 'frame');
  slider.addEventListener('input', show);
  frame.style.setProperty('--columns', columns);
  frame.style.setProperty('--width', `${width}px`);
  frame.style.aspectRatio = `${width} / ${height}`;
  label.append(slider, output);
  frame.after(label);
  figure.classList.add('live');
  show();
}
