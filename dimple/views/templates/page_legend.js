// The legend of colors and shapes, below the scene.

function legend() {
  const box = byId('legend'), { drawing } = data;
  box.replaceChildren();
  const entry = (text, sample) => { const span = write(box, 'span'); if (sample) span.append(sample); span.append(text); return span; };
  const element = (kind) => { const sample = document.createElement('i'); sample.className = kind; return sample; };
  if (drawing.slice) { sliceLegend(box, entry, element); return; }
  for (const label of [...new Set(drawing.labels)].sort()) entry(`class ${label}`, markerSample(label));
  if (drawing.predictions.some((p) => p)) entry('ringed: misclassified', ringSample());
  if (!scene.flat) entry('hollow: behind the boundary', markerSample(1, true));
  if (scene.flat) {
    entry('boundary', element('stroke'));
    if (scene.manifold) entry('data manifold', element('stroke faint'));
    return;
  }
  if (drawing.offsets && !view.sides) {
    const bar = element('bar'), span = entry(`color: depth of the manifold, ${drawing.depthScale} in class 0`, null);
    bar.style.background = 'linear-gradient(90deg, var(--class0), var(--pale), var(--class1))';
    span.append(bar, `${drawing.depthScale} in class 1, input units`);
  } else {
    for (const label of [0, 1]) {
      const swatch = element('swatch');
      swatch.style.background = `var(--class${label})`;
      entry(`boundary, seen from class ${label}`, swatch);
    }
  }
  if (scene.manifold) {
    const swatch = element('swatch');
    swatch.style.background = 'var(--manifold)';
    swatch.style.opacity = 0.5;
    entry('data manifold', swatch);
  }
}

function markerSample(label, hollow) {
  const svg = document.createElementNS(SVG, 'svg'), { color, shape } = data.classes[label % data.classes.length];
  svg.setAttribute('viewBox', '-8 -8 16 16');
  const path = ['M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0', 'M0 -7.5L7.5 0L0 7.5L-7.5 0Z', 'M-5.3 -5.3H5.3V5.3H-5.3Z', 'M0 -7L7 5.5H-7Z'][shape];
  const paint = label < 2 ? `var(--class${label})` : color;
  draw(svg, 'path', { d: path, fill: hollow ? 'none' : paint, stroke: hollow ? paint : 'none', 'stroke-width': 1.8 });
  return svg;
}

function ringSample() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '-8 -8 16 16');
  draw(svg, 'circle', { r: 3, fill: 'var(--class0)' });
  draw(svg, 'circle', { r: 6.5, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.3 });
  return svg;
}
