// The scene: its contents at a time, their colors, and the point under the pointer.

// A point hidden by less than this fraction of the box is painted as an outline; deeper ones are not.
const OUTLINE_DEPTH = 0.14;
// Corners of crossed cells lie within this many cells of the boundary: three for exact distances.
const NEAR = 4;

class Scene {
  constructor(canvas, data) {
    this.data = data;
    this.drawing = data.drawing;
    this.camera = new Camera(this.drawing);
    this.canvas = canvas;
    this.painter = Painter.create(canvas);
    this.pace = new Pace(this.painter.software);
    this.flat = this.drawing.dim === 2;
    this.lines = this.painter.rows([3, 3]);
    this.markers = this.painter.rows([3, 4]);
    this.manifold = this.manifoldRows();
    this.points = this.drawing.points.map((position) => [...position, 0].slice(0, 3));
    const field = this.drawing.field, pad = (list, value) => [...list, value].slice(0, 3);
    this.counts = pad(field.counts, 1);
    this.extent = this.counts.map((count) => count * field.spacing);
    this.origin = pad(field.origin, 0);
    this.corner = this.origin.map((value) => value - field.spacing / 2);
    const directions = this.drawing.offsets;
    // Colors are sampled at the centers of the cells of the texture, which are its grid points.
    this.directionsBox = directions ? { corner: directions.origin.map((v) => v - directions.spacing / 2), extent: directions.counts.map((n) => n * directions.spacing) } : {};
    if (this.flat) this.levels = this.painter.texture(2, true);
    else {
      this.surface = this.painter.rows([3, 3]);
      this.nets = new SurfaceNets(this.counts, NEAR / field.band * 127);
    }
  }

  async load() {
    this.field = await Field.load(this.drawing.field);
    if (this.flat) return;
    const { offsets } = this.drawing;
    this.directions = this.painter.texture(3, true);
    this.painter.store(this.directions, offsets ? offsets.counts : [1, 1, 1], 'vector', offsets ? await Field.unpack('offsets-bytes') : new Uint8Array(3));
  }

  manifoldRows() {
    const mesh = this.drawing.manifold, painter = this.painter;
    if (!mesh || !mesh.faces.length) return null;
    const position = (i) => [...mesh.vertices[i], 0].slice(0, 3);
    if (mesh.faces[0].length === 2) {
      const rows = painter.rows([3, 3]);
      painter.fillRectangles(rows, new Float32Array(mesh.faces.flatMap(([a, b]) => [...position(a), ...position(b)])));
      return { rows, curve: true };
    }
    const normals = mesh.vertices.map(() => [0, 0, 0]);
    for (const [a, b, c] of mesh.faces) {
      const across = cross(subtract(position(b), position(a)), subtract(position(c), position(a)));
      for (const i of [a, b, c]) for (let k = 0; k < 3; k++) normals[i][k] += across[k];
    }
    const rows = painter.rows([3, 3]);
    painter.fill(rows, new Float32Array(mesh.vertices.flatMap((v, i) => [...v, ...normals[i]])), new Uint32Array(mesh.faces.flat()));
    return { rows, curve: false };
  }

  /** Fits the canvas to its element: in motion at the resolution of the pace; at rest, without antialiasing, twice the screen. */
  resize(moving) {
    const screen = Math.min(window.devicePixelRatio || 1, 2), still = this.painter.software ? Math.max(screen, 2) : screen;
    const fine = moving ? screen * this.pace.fraction : still, box = this.canvas.getBoundingClientRect();
    const width = Math.max(Math.round(box.width * fine), 1), height = Math.max(Math.round(box.height * fine), 1);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.fine = fine;
    this.camera.aim(box.width, box.height);
  }

  theme() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => {
      const digits = style.getPropertyValue('--' + name).trim();
      return [1, 3, 5].map((i) => parseInt(digits.slice(i, i + 2), 16) / 255);
    };
    const names = ['paper', 'ink', 'grid', 'class0', 'class1', 'manifold', 'pale'];
    this.colors = Object.fromEntries(names.map((name) => [name, color(name)]));
    const fixed = this.data.classes.map(({ color: c }) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16) / 255));
    this.palette = [this.colors.class0, this.colors.class1, ...fixed.slice(2)].flat();
  }

  draw(view, moving) {
    this.resize(moving);
    const start = performance.now();
    Field.at(this.field, view.time);
    if (!this.flat && view.boundary) this.extract(view.time);
    this.extractionTime = performance.now() - start;
    const { low, high, matrix } = this.camera;
    this.painter.begin(this.canvas.width, this.canvas.height, this.colors.paper);
    this.common = {
      matrix, low, high, ...this.lights(), origin: this.origin, corner: this.corner, extent: this.extent, ...this.colors,
      spacing: this.drawing.field.spacing, size: [this.canvas.width, this.canvas.height], nearer: 0,
      colors: this.palette, rim: this.colors.paper, inside: this.colors.paper, plain: this.colors.manifold,
      scale: this.drawing.depthScale, offsetLimit: this.drawing.offsets ? this.drawing.offsets.limit : 1, cellPixels: this.fine,
    };
    if (this.flat) this.drawRegions(view);
    this.strokes(this.camera.edges(), [...this.colors.grid, 1], 1.2);
    if (!this.flat && view.boundary) this.drawSurface(view);
    if (view.manifold && this.manifold) this.drawManifold();
    this.drawPoints(view);
    this.drawStep(view);
    this.painter.end();
  }

  /** Returns a light at the camera, a strong one from the upper left that shades dimples, and a weak one opposite. */
  lights() {
    const { sight, right, up } = this.camera, toCamera = sight.map((s) => -s);
    const from = (a, b, c) => unit(toCamera.map((t, k) => a * t + b * right[k] + c * up[k]));
    const upper = from(0.9, -1.3, 1.4);
    return { toCamera, upper, side: from(0.5, 1.5, -0.6), halfway: unit(upper.map((u, k) => u + toCamera[k])) };
  }

  drawRegions(view) {
    const { painter } = this;
    painter.store(this.levels, this.counts.slice(0, 2), 'level', this.field.now);
    painter.paint(painter.regions, { ...this.common, levels: this.levels, line: view.boundary ? 1 : 0 }, null, { test: false });
  }

  extract(time) {
    if (this.extracted === time) return;
    const { nets } = this, count = nets.extract(this.field.now);
    this.painter.fill(this.surface, nets.vertices.subarray(0, 6 * count.vertices), nets.indices.subarray(0, count.indices));
    this.extracted = time;
  }

  drawSurface(view) {
    const mode = this.drawing.offsets && !view.sides ? 2 : 1;
    const uniforms = { ...this.common, ...this.directionsBox, directions: this.directions, mode, opacity: 1 };
    this.painter.paint(this.painter.surface, uniforms, this.surface);
  }

  drawManifold() {
    const { painter, manifold, common } = this;
    if (manifold.curve) {
      painter.paint(painter.line, { ...common, paint: [...this.colors.manifold, 1], width: (this.flat ? 2.5 : 4) * this.fine }, manifold.rows);
      return;
    }
    const wide = { low: common.low.map((v) => v - 1e3), high: common.high.map((v) => v + 1e3), origin: [0, 0, 0], spacing: 1 };
    painter.paint(painter.surface, { ...common, ...wide, directions: this.directions, mode: 0, opacity: 0.24 }, manifold.rows, { write: false });
  }

  drawPoints(view) {
    const { painter, drawing, common } = this;
    const predictions = drawing.predictions[Math.round(view.time)];
    const rows = this.points.map((position, i) => {
      const label = drawing.labels[i], kind = label % this.data.classes.length, wrong = predictions && predictions[i] !== label ? 1 : 0;
      return [...position, kind, this.data.classes[kind].shape, wrong, view.point === i ? 1 : 0];
    });
    painter.fillRectangles(this.markers, new Float32Array(rows.flat()));
    const side = Math.max(...subtract(common.high, common.low)), radius = 5.2 * this.fine;
    const approach = (fraction) => this.camera.sight.map((s) => -s * fraction * side);
    const paint = (outline, depth) => painter.paint(painter.marker, { ...common, radius, outline, approach: approach(depth) }, this.markers, { write: false });
    if (!this.flat) paint(1, OUTLINE_DEPTH);
    paint(0, 0.006);
  }

  /** Draws the line from the selected point to the closest point of the boundary. */
  drawStep(view) {
    const end = view.point === null ? null : this.drawing.nearest[Math.round(view.time)][view.point];
    if (!end || end[0] === null) return;
    const position = [...end, 0].slice(0, 3), crossSize = 0.008 * Math.max(...subtract(this.common.high, this.common.low));
    const { right, up } = this.camera;
    const at = (a, b) => position.map((v, k) => v + crossSize * (a * right[k] + b * up[k]));
    const mark = [[at(-1, -1), at(1, 1)], [at(-1, 1), at(1, -1)]];
    this.strokes([[this.points[view.point], position], ...mark], [...this.colors.ink, 1], 2, { test: false });
  }

  strokes(segments, paint, width, state) {
    this.painter.fillRectangles(this.lines, new Float32Array(segments.flat(2)));
    this.painter.paint(this.painter.line, { ...this.common, paint, width: width * this.fine }, this.lines, state);
  }

  /** Returns the visible point at a pixel, or null. */
  pick(x, y) {
    let best = null, smallest = 14;
    this.points.forEach((position, i) => {
      const [px, py] = this.camera.project(position), away = Math.hypot(px - x, py - y);
      if (away < smallest && !this.hidden(position)) [best, smallest] = [i, away];
    });
    return best;
  }

  /** Returns whether a surface is far in front of a position, so that its marker is not painted. */
  hidden(position) {
    return this.crosses(position, OUTLINE_DEPTH, 2);
  }

  /** Returns whether a surface is close in front of a position, so that its marker is painted as an outline. */
  outlined(position) {
    return this.crosses(position, 0.006, OUTLINE_DEPTH) && !this.hidden(position);
  }

  /** Returns whether the sign changes on the line to the camera between two distances, as fractions of the box. */
  crosses(position, from, to) {
    if (this.flat || !view.boundary) return false;
    const side = Math.max(...subtract(this.camera.high, this.camera.low)), out = this.camera.sight.map((s) => -s);
    const along = (fraction) => position.map((v, k) => v + fraction * side * out[k]);
    const inside = (p) => p.every((v, k) => v >= this.camera.low[k] && v <= this.camera.high[k]);
    let before = Field.near(this.field, along(from));
    for (let fraction = from; fraction < to && inside(along(fraction)); fraction += 0.012) {
      const level = Field.near(this.field, along(fraction));
      if (level * before < 0) return true;
      before = level;
    }
    return false;
  }

  get hasBoundary() {
    const { now } = this.field;
    return now.some((level) => level > 0) && now.some((level) => level < 0);
  }
}
