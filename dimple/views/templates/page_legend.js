// The legend below the scene: the colors and shapes that are seen now.

let shownLegend = '';

/** Returns the entries of what is seen now, or of all that can be seen: a text, the kind of its sample, and what it shows. */
function legendEntries(all) {
  const { drawing } = data, { labels, slice } = drawing, at = Math.round(view.time), predictions = drawing.predictions[at];
  const classes = slice && (all ? [...new Set(slice.presentClasses.flat())] : slice.presentClasses[at]);
  const entries = slice ? classes.map((label) => [slice.classes[label], 'swatch', data.classes[label % 10].color])
    : [...new Set(labels)].sort().map((label) => [`class ${label}`, 'marker', label]);
  if (all || (predictions && predictions.some((predicted, i) => predicted !== labels[i]))) entries.push(['ringed: misclassified', 'ring']);
  if (all ? !scene.flat : scene.points.some((position) => scene.outlined(position))) entries.push(['hollow: behind the boundary', 'hollow']);
  if (slice && slice.invalid) entries.push([`${scene.flat ? 'hatched' : 'pale'}: some pixel is outside its range`]);
  if (slice) return entries;
  if (all || (view.boundary && scene.hasBoundary)) {
    if (scene.flat) entries.push(['boundary', 'stroke']);
    else if (drawing.offsets && !view.sides) entries.push([`color: depth of the manifold, ${drawing.depthScale} in class 0`, 'bar', `${drawing.depthScale} in class 1, input units`]);
    else for (const label of [0, 1]) entries.push([`boundary, seen from class ${label}`, 'swatch', `var(--class${label})`]);
  }
  if ((all || view.manifold) && scene.manifold) entries.push(['data manifold', scene.flat ? 'faint' : 'pale']);
  return entries;
}

/** Reserves the height of the longest legend, so that the scene keeps its size when the next picture changes the legend. */
function reserveLegend() {
  const box = byId('legend');
  box.style.minHeight = '';
  writeLegend(legendEntries(true));
  box.style.minHeight = `${box.getBoundingClientRect().height}px`;
}

function legend() {
  writeLegend(legendEntries(false));
}

function writeLegend(entries) {
  const key = JSON.stringify(entries);
  if (key === shownLegend) return;
  shownLegend = key;
  const box = byId('legend'), part = (kind, background, opacity = 1) => {
    const element = document.createElement('i');
    element.className = kind;
    Object.assign(element.style, { background, opacity });
    return element;
  };
  const samples = {
    marker: (label) => markerSample(label), ring: ringSample, hollow: () => markerSample(1, true), swatch: (color) => part('swatch', color),
    stroke: () => part('stroke', ''), faint: () => part('stroke faint', ''), pale: () => part('swatch', 'var(--manifold)', 0.5),
  };
  box.replaceChildren();
  for (const [text, kind, shown] of entries) {
    const span = write(box, 'span');
    if (samples[kind]) span.append(samples[kind](shown));
    write(span, 'bdi', text);
    if (kind === 'bar') span.append(part('bar', 'linear-gradient(90deg, var(--class0), var(--pale), var(--class1))'), shown);
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
