// A section: the regions of many classes in a plane, or their rooms in space, with names, images, and the input itself.

// A class number with this bit has valid inputs.
const VALID = 1 << 15;

const PLANE_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D levels; uniform vec3 colours[10], paper; uniform float cellPixels; uniform bool bounds;
in vec2 at; out vec4 colour;
void main() {
  ivec2 bytes = ivec2(texture(levels, at).rg * 255.0 + 0.5);
  bool valid = !bounds || bytes.y >= 128;
  vec3 paint = mix(paper, colours[(bytes.x + 256 * (bytes.y & 127)) % 10], valid ? 0.6 : 0.3);
  if (!valid && mod(gl_FragCoord.x + gl_FragCoord.y, 9.0 * cellPixels) < 1.6 * cellPixels) paint = paper;
  colour = vec4(paint, 1.0);
}`;

// From a point to the middle of its image, in pixels.
const AWAY = 62;
const ROOMS_VERTEX = `#version 300 es
uniform mat4 matrix; uniform vec3 low, high;
layout(location = 0) in vec3 share; layout(location = 1) in vec3 slope; layout(location = 2) in vec2 paint;
out vec3 normal; out float strength; flat out int label;
void main() {
  normal = slope; strength = paint.y; label = int(paint.x + 0.5);
  gl_Position = matrix * vec4(mix(low, high, share), 1.0);
}`;

const ROOMS_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 colours[10], paper, towards, upper, side;
in vec3 normal; in float strength; flat in int label; out vec4 colour;
void main() {
  vec3 n = normalize(normal);
  float light = 0.6 + 0.22 * max(dot(n, towards), 0.0) + 0.3 * max(dot(n, upper), 0.0) + 0.1 * max(dot(n, side), 0.0);
  colour = vec4(min(mix(paper, colours[label % 10], strength) * light, 1.0), 1.0);
}`;

class SectionScene {
  constructor(canvas, data) {
    Object.assign(this, { canvas, data, drawing: data.drawing, section: data.drawing.section, flat: data.drawing.dim === 2 });
    this.camera = new Camera(this.drawing);
    this.painter = new Painter(canvas);
    this.pace = new Pace(this.painter.software);
    this.searching = 0;
    this.manifold = null;
    this.points = this.drawing.points.map((place) => [...place, 0].slice(0, 3));
    this.program = this.painter.program(this.flat ? REGIONS_VERTEX : ROOMS_VERTEX, this.flat ? PLANE_FRAGMENT : ROOMS_FRAGMENT);
    this.lines = this.painter.rows([3, 3]);
    this.strokes = Scene.prototype.strokes;
    this.lights = Scene.prototype.lights;
    this.resize = Scene.prototype.resize;
    this.markers = this.painter.rows([3, 4]);
    this.names = write(byId('view'), 'div', undefined, 'names');
    this.images = this.section.pictures.map((source) => this.image(source));
    this.here = write(byId('view'), 'div', undefined, 'here');
    this.control();
    this.step = -1;
    if (data.steps.length === 1) for (const part of [byId('when'), byId('keys'), document.querySelector('footer')]) part.hidden = true;
  }

  async load() {
    const gl = this.painter.gl, numbers = async (name, Kind) => new Kind((await Field.unpack(`${name}-bytes`)).buffer);
    if (this.flat) {
      this.levels = this.painter.texture(gl.TEXTURE_2D, false);
      this.regions = await numbers('regions', Uint16Array);
      this.ends = await numbers('lines', Uint16Array);
      this.inputs = await numbers('inputs', Float32Array);
      this.curve = this.painter.rows([3, 3]);
      return;
    }
    this.surface = this.painter.rows([3, 3, 2]);
    this.volume = await numbers('volume', Uint16Array);
    [this.places, this.normals, this.paints, this.faces] = await Promise.all([
      numbers('places', Uint16Array), numbers('normals', Int8Array), numbers('paints', Uint16Array), numbers('faces', Uint32Array),
    ]);
  }

  theme() {
    const style = getComputedStyle(document.documentElement), digits = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);
    this.colours = Object.fromEntries(['paper', 'ink', 'grid'].map((name) => [name, digits(style.getPropertyValue('--' + name).trim())]));
    this.palette = this.data.classes.map(({ colour }) => digits(colour)).flat();
  }

  draw(view, moving) {
    const at = Math.round(view.time), gl = this.painter.gl;
    this.resize(moving);
    if (at !== this.step) this.take(at);
    const { low, high, matrix } = this.camera;
    this.common = {
      matrix, low, high, ...this.lights(), corner: low, extent: subtract(high, low), ...this.colours, colours: this.palette,
      size: [this.canvas.width, this.canvas.height], nearer: 0, rim: this.colours.paper, inside: this.colours.paper,
      cellPixels: this.fine, bounds: this.section.bounds ? 1 : 0,
    };
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(...this.colours.paper, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (this.flat) this.drawPlane(view);
    else this.drawRooms();
    this.drawPoints(view);
    this.write(at);
  }

  /** Puts the step's shapes where the painter finds them. */
  take(at) {
    this.step = at;
    const gl = this.painter.gl, before = (counts) => counts.slice(0, at).reduce((a, b) => a + b, 0);
    const { low, high } = this.camera;
    if (this.flat) {
      const side = this.section.side, count = this.section.lines[at], first = 4 * before(this.section.lines), flat = new Float32Array(6 * count);
      gl.bindTexture(gl.TEXTURE_2D, this.levels);
      const bytes = new Uint8Array(this.regions.buffer, 2 * at * side * side, 2 * side * side);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RG8, side, side, 0, gl.RG, gl.UNSIGNED_BYTE, bytes);
      for (let k = 0; k < 2 * count; k++) {
        for (let axis = 0; axis < 2; axis++) flat[3 * k + axis] = low[axis] + this.ends[first + 2 * k + axis] / 65535 * (high[axis] - low[axis]);
      }
      this.painter.fillRectangles(this.curve, flat);
      return;
    }
    const count = this.section.vertices[at], first = before(this.section.vertices), rows = new Float32Array(8 * count);
    for (let k = 0; k < count; k++) {
      for (let axis = 0; axis < 3; axis++) {
        rows[8 * k + axis] = this.places[3 * (first + k) + axis] / 65535;
        rows[8 * k + 3 + axis] = this.normals[3 * (first + k) + axis] / 127;
      }
      rows[8 * k + 6] = this.paints[2 * (first + k)];
      rows[8 * k + 7] = this.paints[2 * (first + k) + 1] / 255;
    }
    const start = 3 * before(this.section.triangles);
    this.painter.fill(this.surface, rows, this.faces.slice(start, start + 3 * this.section.triangles[at]));
  }

  drawPlane(view) {
    const { painter, common } = this, gl = painter.gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.levels);
    painter.use(this.program, { ...common, levels: 0 });
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    if (!view.boundary || !this.curve.count) return;
    painter.use(painter.line, { ...common, paint: [...this.colours.ink, 1], width: 2 * this.fine });
    painter.triangles(this.curve);
  }

  drawRooms() {
    const { painter, common } = this, gl = painter.gl;
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.CULL_FACE);
    painter.use(this.program, common);
    painter.triangles(this.surface);
    gl.disable(gl.CULL_FACE);
    this.strokes(this.camera.edges(), [...this.colours.grid, 1], 1.2);
    gl.disable(gl.DEPTH_TEST);
  }

  drawPoints(view) {
    const { painter, drawing, common } = this, predictions = drawing.predictions[this.step], radius = 5.2 * this.fine;
    for (const ghost of [0, 1]) {
      const rows = this.points.flatMap((place, i) => {
        if (Number(this.hidden(place)) !== ghost) return [];
        const label = drawing.labels[i] % 10, wrong = predictions && predictions[i] !== drawing.labels[i] ? 1 : 0;
        return [[...place, label, this.data.classes[label].shape, wrong, view.point === i ? 1 : 0]];
      });
      if (!rows.length) continue;
      painter.fillRectangles(this.markers, new Float32Array(rows.flat()));
      painter.use(painter.marker, { ...common, radius, ghost, approach: [0, 0, 0] });
      painter.triangles(this.markers);
    }
  }

  /** Names and images, which are elements over the canvas. */
  write(at) {
    const { low, high, eye } = this.camera, facing = (axis, end) => (end === 0 ? eye[axis] > low[axis] : eye[axis] < high[axis]);
    const places = this.points.map((place) => this.camera.project(place)), count = Math.max(places.length, 1);
    const middle = [0, 1].map((k) => places.reduce((sum, place) => sum + place[k], 0) / count);
    this.images.forEach((figure, i) => {
      const away = places.length > 1 ? subtract(places[i], middle) : [0, -1], length = Math.hypot(...away) || 1;
      Object.assign(figure.style, { left: `${places[i][0] + AWAY * away[0] / length}px`, top: `${places[i][1] + AWAY * away[1] / length}px` });
      figure.lastChild.textContent = this.section.captions[at][i];
    });
    const taken = this.images.map((figure) => figure.getBoundingClientRect());
    const shown = this.section.names[at].flatMap(({ name, side, at: places }) => {
      if (side && !facing(...side)) return [];
      const found = places.map((p) => [...p, 0].slice(0, 3)).filter((p) => !this.hidden(p));
      return found.length ? [[name, found.map((p) => this.camera.project(p))]] : [];
    });
    this.names.replaceChildren();
    for (const [name, found] of shown) {
      const span = write(this.names, 'span', name);
      span.hidden = !found.some(([x, y]) => {
        Object.assign(span.style, { left: `${x}px`, top: `${y}px` });
        const { left, right, top, bottom } = span.getBoundingClientRect();
        return !taken.some((box) => left < box.right && right > box.left && top < box.bottom && bottom > box.top);
      });
    }
    const control = byId('control');
    control.firstChild.setAttribute('src', this.section.control.pictures[at]);
  }

  image(source) {
    const figure = write(byId('view'), 'figure', undefined, 'image');
    write(figure, 'img').setAttribute('src', source);
    write(figure, 'figcaption');
    figure.firstChild.style.borderColor = this.data.classes[this.drawing.labels[byId('view').querySelectorAll('.image').length - 1] % 10].colour;
    return figure;
  }

  control() {
    const figure = document.createElement('figure');
    figure.id = 'control';
    write(figure, 'img').alt = this.section.control.title;
    write(figure, 'figcaption', this.section.control.title);
    byId('charts').before(figure);
  }

  caption(i, at) {
    return this.section.captions[at][i].replace('\n', ', ');
  }

  /** The image or point at a pixel; what else is there is told beside the scene. */
  pick(x, y) {
    this.ask(x, y);
    let best = null, least = 14;
    this.points.forEach((place, i) => {
      const [px, py] = this.camera.project(place), away = Math.hypot(px - x, py - y);
      if (away < least) [best, least] = [i, away];
    });
    return best;
  }

  /** In a plane: the class at a pixel, how far the images are, and the input there as a picture. */
  ask(x, y) {
    if (!this.flat) return;
    const { low, high, width, height, matrix } = this.camera, side = this.section.side;
    const u = [(2 * x / width - 1 - matrix[12]) / matrix[0], (1 - 2 * y / height - matrix[13]) / matrix[5]];
    const [column, row] = u.map((value, k) => Math.floor((value - low[k]) / (high[k] - low[k]) * side));
    const outside = Math.min(column, row) < 0 || Math.max(column, row) >= side;
    this.here.hidden = outside;
    if (outside) return;
    const value = this.regions[this.step * side * side + row * side + column];
    this.here.replaceChildren();
    if (this.section.shape) this.here.append(this.input(u));
    const text = write(this.here, 'div');
    write(text, 'strong', this.section.classes[value & (VALID - 1)]);
    if (this.section.bounds && value < VALID) write(text, 'div', 'out of range');
    this.points.forEach((place, i) => {
      const away = Math.hypot(place[0] - u[0], place[1] - u[1]);
      write(text, 'div', `${away.toPrecision(3)} from ${this.section.captions[this.step][i].split(':')[0]}`);
    });
  }

  /** The input at a place of the section, cut off at the bounds of its pixels. */
  input(u) {
    const [channels, height, width] = this.section.shape, n = channels * height * width, canvas = document.createElement('canvas');
    Object.assign(canvas, { width, height });
    const pen = canvas.getContext('2d'), pixels = pen.createImageData(width, height);
    for (let place = 0; place < height * width; place++) {
      for (let k = 0; k < 3; k++) {
        const at = Math.min(k, channels - 1) * height * width + place;
        pixels.data[4 * place + k] = 255 * (this.inputs[at] + u[0] * this.inputs[n + at] + u[1] * this.inputs[2 * n + at]);
      }
      pixels.data[4 * place + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
    return canvas;
  }

  /** Whether a wall stands between a place and the eye: the class changes on the way, within the box. */
  hidden(place) {
    if (this.flat) return false;
    const { low, high, eye } = this.camera, towards = unit(subtract(eye, place)), corners = this.section.corners, sides = subtract(high, low);
    const step = Math.max(...sides) / corners, from = this.step * corners ** 3;
    let label = -1;
    for (let k = 1; k < 2 * corners; k++) {
      const at = place.map((v, axis) => Math.round((v + towards[axis] * k * step - low[axis]) / sides[axis] * (corners - 1)));
      if (at.some((index) => index < 0 || index >= corners)) { if (k > 2) return false; continue; }
      const here = this.volume[from + (at[0] * corners + at[1]) * corners + at[2]];
      if (label >= 0 && here !== label) return true;
      label = here;
    }
    return false;
  }
}

function sectionLegend(box, entry, swatch) {
  const { section } = data.drawing, at = Math.round(view.time);
  for (const label of section.met[at]) {
    const sample = swatch('swatch');
    sample.style.background = data.classes[label % 10].colour;
    entry(section.classes[label], sample);
  }
  if (section.bounds) write(box, 'span', `${scene.flat ? 'hatched' : 'pale'}: some pixel is outside its range`, 'null');
}
