// A slice: the regions of many classes in a plane or in space, with names, images, and the input at the pointer.

// The bit of a class number that marks valid inputs.
const VALID = 1 << 15;

// Distance from a point to the center of its image, in pixels.
const IMAGE_DISTANCE = 62;

class SliceScene {
  constructor(canvas, data) {
    Object.assign(this, { canvas, data, drawing: data.drawing, slice: data.drawing.slice, flat: data.drawing.dim === 2 });
    this.camera = new Camera(this.drawing);
    this.painter = Painter.create(canvas);
    this.pace = new Pace(this.painter.software);
    this.extractionTime = 0;
    this.manifold = null;
    this.points = this.drawing.points.map((position) => [...position, 0].slice(0, 3));
    this.lines = this.painter.rows([3, 3]);
    this.strokes = Scene.prototype.strokes;
    this.lights = Scene.prototype.lights;
    this.resize = Scene.prototype.resize;
    this.markers = this.painter.rows([3, 4]);
    this.names = write(byId('view'), 'div', undefined, 'names');
    this.images = this.slice.images.map((source) => this.image(source));
    this.here = write(byId('view'), 'div', undefined, 'here');
    this.control();
    this.step = -1;
    if (data.steps.length === 1) for (const part of [byId('when'), byId('keys'), document.querySelector('footer')]) part.hidden = true;
  }

  async load() {
    const numbers = async (name, Kind) => new Kind((await Field.unpack(`${name}-bytes`)).buffer);
    if (this.flat) {
      this.levels = this.painter.texture(2, false);
      this.regions = await numbers('regions', Uint16Array);
      this.ends = await numbers('lines', Uint16Array);
      this.inputs = await numbers('inputs', Float32Array);
      this.curve = this.painter.rows([3, 3]);
      return;
    }
    this.surface = this.painter.rows([3, 3, 2]);
    this.volume = await numbers('volume', Uint16Array);
    [this.positions, this.normals, this.vertexColors, this.faces] = await Promise.all([
      numbers('positions', Uint16Array), numbers('normals', Int8Array), numbers('colors', Uint16Array), numbers('faces', Uint32Array),
    ]);
  }

  theme() {
    const style = getComputedStyle(document.documentElement), digits = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);
    this.colors = Object.fromEntries(['paper', 'ink', 'grid'].map((name) => [name, digits(style.getPropertyValue('--' + name).trim())]));
    this.palette = this.data.classes.map(({ color }) => digits(color)).flat();
  }

  draw(view, moving) {
    const at = Math.round(view.time);
    this.resize(moving);
    if (at !== this.step) this.upload(at);
    const { low, high, matrix } = this.camera;
    this.common = {
      matrix, low, high, ...this.lights(), corner: low, extent: subtract(high, low), ...this.colors, colors: this.palette,
      size: [this.canvas.width, this.canvas.height], nearer: 0, rim: this.colors.paper, inside: this.colors.paper,
      cellPixels: this.fine, bounds: this.slice.invalid ? 1 : 0,
    };
    this.painter.begin(this.canvas.width, this.canvas.height, this.colors.paper);
    if (this.flat) this.drawPlane(view);
    else this.drawWalls();
    this.drawPoints(view);
    this.painter.end();
    this.write(at);
  }

  /** Uploads the shapes of the step. */
  upload(at) {
    this.step = at;
    const before = (counts) => counts.slice(0, at).reduce((a, b) => a + b, 0);
    const { low, high } = this.camera;
    if (this.flat) {
      const side = this.slice.side, count = this.slice.lines[at], first = 4 * before(this.slice.lines), flat = new Float32Array(6 * count);
      this.painter.store(this.levels, [side, side], 'pair', new Uint8Array(this.regions.buffer, 2 * at * side * side, 2 * side * side));
      for (let k = 0; k < 2 * count; k++) {
        for (let axis = 0; axis < 2; axis++) flat[3 * k + axis] = low[axis] + this.ends[first + 2 * k + axis] / 65535 * (high[axis] - low[axis]);
      }
      this.painter.fillRectangles(this.curve, flat);
      return;
    }
    const count = this.slice.vertices[at], first = before(this.slice.vertices), rows = new Float32Array(8 * count);
    for (let k = 0; k < count; k++) {
      for (let axis = 0; axis < 3; axis++) {
        rows[8 * k + axis] = this.positions[3 * (first + k) + axis] / 65535;
        rows[8 * k + 3 + axis] = this.normals[3 * (first + k) + axis] / 127;
      }
      rows[8 * k + 6] = this.vertexColors[2 * (first + k)];
      rows[8 * k + 7] = this.vertexColors[2 * (first + k) + 1] / 255;
    }
    const start = 3 * before(this.slice.triangles);
    this.painter.fill(this.surface, rows, this.faces.slice(start, start + 3 * this.slice.triangles[at]));
  }

  drawPlane(view) {
    const { painter, common } = this;
    painter.paint(painter.classes, { ...common, levels: this.levels }, null, { test: false });
    if (view.boundary) painter.paint(painter.line, { ...common, paint: [...this.colors.ink, 1], width: 2 * this.fine }, this.curve, { test: false });
  }

  drawWalls() {
    this.painter.paint(this.painter.walls, this.common, this.surface, { cull: true });
    this.strokes(this.camera.edges(), [...this.colors.grid, 1], 1.2);
  }

  drawPoints(view) {
    const { painter, drawing, common } = this, predictions = drawing.predictions[this.step], radius = 5.2 * this.fine;
    for (const outline of [0, 1]) {
      const rows = this.points.flatMap((position, i) => {
        if (Number(this.hidden(position)) !== outline) return [];
        const label = drawing.labels[i] % 10, wrong = predictions && predictions[i] !== drawing.labels[i] ? 1 : 0;
        return [[...position, label, this.data.classes[label].shape, wrong, view.point === i ? 1 : 0]];
      });
      if (!rows.length) continue;
      painter.fillRectangles(this.markers, new Float32Array(rows.flat()));
      painter.paint(painter.marker, { ...common, radius, outline, approach: [0, 0, 0] }, this.markers, { test: false });
    }
  }

  /** Creates names and images, which are elements over the canvas. */
  write(at) {
    const { low, high, eye } = this.camera, facing = (axis, end) => (end === 0 ? eye[axis] > low[axis] : eye[axis] < high[axis]);
    const positions = this.points.map((position) => this.camera.project(position)), count = Math.max(positions.length, 1);
    const middle = [0, 1].map((k) => positions.reduce((sum, position) => sum + position[k], 0) / count);
    this.images.forEach((figure, i) => {
      const away = positions.length > 1 ? subtract(positions[i], middle) : [0, -1], length = Math.hypot(...away) || 1;
      Object.assign(figure.style, { left: `${positions[i][0] + IMAGE_DISTANCE * away[0] / length}px`, top: `${positions[i][1] + IMAGE_DISTANCE * away[1] / length}px` });
      figure.lastChild.textContent = this.isolated(i, at);
    });
    const occupied = this.images.map((figure) => figure.getBoundingClientRect());
    const labels = this.slice.names[at].flatMap(({ name, side, at: positions }) => {
      if (side && !facing(...side)) return [];
      const visible = positions.map((p) => [...p, 0].slice(0, 3)).filter((p) => !this.hidden(p));
      return visible.length ? [[name, visible.map((p) => this.camera.project(p))]] : [];
    });
    this.names.replaceChildren();
    for (const [name, candidates] of labels) {
      const span = write(this.names, 'span', name);
      span.dir = 'auto';
      span.hidden = !candidates.some(([x, y]) => {
        Object.assign(span.style, { left: `${x}px`, top: `${y}px` });
        const { left, right, top, bottom } = span.getBoundingClientRect();
        return !occupied.some((box) => left < box.right && right > box.left && top < box.bottom && bottom > box.top);
      });
    }
    const control = byId('control');
    control.firstChild.setAttribute('src', this.slice.control.images[at]);
  }

  image(source) {
    const figure = write(byId('view'), 'figure', undefined, 'image');
    write(figure, 'img').setAttribute('src', source);
    write(figure, 'figcaption');
    figure.firstChild.style.borderColor = this.data.classes[this.drawing.labels[byId('view').querySelectorAll('.image').length - 1] % 10].color;
    return figure;
  }

  control() {
    const figure = document.createElement('figure');
    figure.id = 'control';
    write(figure, 'img').alt = this.slice.control.title;
    write(figure, 'figcaption', this.slice.control.title);
    byId('charts').before(figure);
  }

  caption(i, at) {
    return this.isolated(i, at).replace('\n', ', ');
  }

  /** Returns the caption of an image with marks around the names of classes, which may be written from right to left. */
  isolated(i, at) {
    return this.slice.captions[at][i].replace(/(: |predicted )(.*)/g, '$1\u2068$2\u2069');
  }

  /** Returns the index of the point at a pixel, or null, and shows the input there beside the scene. */
  pick(x, y) {
    this.showInput(x, y);
    let best = null, smallest = 14;
    this.points.forEach((position, i) => {
      const [px, py] = this.camera.project(position), away = Math.hypot(px - x, py - y);
      if (away < smallest) [best, smallest] = [i, away];
    });
    return best;
  }

  /** In a plane, shows the class at a pixel, the distances to the images, and the input as a picture. */
  showInput(x, y) {
    if (!this.flat) return;
    const { low, high, width, height, matrix } = this.camera, side = this.slice.side;
    const u = [(2 * x / width - 1 - matrix[12]) / matrix[0], (1 - 2 * y / height - matrix[13]) / matrix[5]];
    const [column, row] = u.map((value, k) => Math.floor((value - low[k]) / (high[k] - low[k]) * side));
    const outside = Math.min(column, row) < 0 || Math.max(column, row) >= side;
    this.here.hidden = outside;
    if (outside) return;
    const value = this.regions[this.step * side * side + row * side + column];
    this.here.replaceChildren();
    if (this.slice.shape) this.here.append(this.input(u));
    const text = write(this.here, 'div');
    write(text, 'strong', this.slice.classes[value & (VALID - 1)] ?? 'no answer').dir = 'auto';
    if (this.slice.invalid && value < VALID) write(text, 'div', 'out of range');
    this.points.forEach((position, i) => {
      const away = Math.hypot(position[0] - u[0], position[1] - u[1]);
      write(text, 'div', `${away.toPrecision(3)} from ${this.slice.captions[this.step][i].split(':')[0]}`);
    });
  }

  /** Returns the input at a position of the slice, clipped to the range of its pixels. */
  input(u) {
    const [channels, height, width] = this.slice.shape, n = channels * height * width, canvas = document.createElement('canvas');
    Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d'), pixels = context.createImageData(width, height);
    for (let position = 0; position < height * width; position++) {
      for (let k = 0; k < 3; k++) {
        const at = Math.min(k, channels - 1) * height * width + position;
        pixels.data[4 * position + k] = 255 * (this.inputs[at] + u[0] * this.inputs[n + at] + u[1] * this.inputs[2 * n + at]);
      }
      pixels.data[4 * position + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  /** Returns whether the marker of a position is painted as an outline. */
  outlined(position) {
    return this.hidden(position);
  }

  /** Returns whether a boundary is between a position and the camera: the class changes along the line within the box. */
  hidden(position) {
    if (this.flat) return false;
    const { low, high, eye } = this.camera, toCamera = unit(subtract(eye, position)), corners = this.slice.corners, sides = subtract(high, low);
    const step = Math.max(...sides) / corners, from = this.step * corners ** 3;
    let label = -1;
    for (let k = 1; k < 2 * corners; k++) {
      const at = position.map((v, axis) => Math.round((v + toCamera[axis] * k * step - low[axis]) / sides[axis] * (corners - 1)));
      if (at.some((index) => index < 0 || index >= corners)) { if (k > 2) return false; continue; }
      const here = this.volume[from + (at[0] * corners + at[1]) * corners + at[2]];
      if (label >= 0 && here !== label) return true;
      label = here;
    }
    return false;
  }
}
