// The painter for a browser without WebGL 2: the same shapes, computed pixel by pixel with a depth buffer.

const mix = (a, b, t) => a + t * (b - a);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

class CanvasPainter {
  constructor(canvas) {
    this.context = canvas.getContext('2d');
    this.software = true;
    for (const kind of ['surface', 'regions', 'line', 'marker', 'classes', 'walls']) this[kind] = kind;
  }

  rows() { return {}; }

  fill(rows, values, indices) { Object.assign(rows, { values, indices }); }

  fillRectangles(rows, values) { rows.values = values; }

  texture() { return {}; }

  store(texture, sizes, format, values) { Object.assign(texture, { sizes, values }); }

  begin(width, height, color) {
    if (this.image?.width !== width || this.image.height !== height) {
      this.image = this.context.createImageData(width, height);
      this.depth = new Float32Array(width * height);
    }
    const [red, green, blue] = color.map((part) => Math.round(255 * part));
    new Uint32Array(this.image.data.buffer).fill((255 << 24 | blue << 16 | green << 8 | red) >>> 0);
    this.depth.fill(Infinity);
  }

  end() { this.context.putImageData(this.image, 0, 0); }

  paint(kind, uniforms, rows, state = {}) {
    const complete = { test: true, write: true, cull: false, ...state };
    const { matrix } = uniforms;
    /** Returns pixel, depth, and the divisor of the perspective. */
    this.project = (x, y, z) => {
      const w = matrix[3] * x + matrix[7] * y + matrix[11] * z + matrix[15];
      const at = (k) => (matrix[k] * x + matrix[4 + k] * y + matrix[8 + k] * z + matrix[12 + k]) / w;
      return [(at(0) + 1) / 2 * this.image.width, (1 - at(1)) / 2 * this.image.height, at(2)];
    };
    const paint = { surface: this.paintSurface, regions: this.paintRegions, line: this.paintLines, marker: this.paintMarkers, classes: this.paintClasses, walls: this.paintWalls }[kind];
    paint.call(this, uniforms, rows, complete);
  }

  blend(index, red, green, blue, alpha) {
    const { data } = this.image, at = 4 * index;
    data[at] = mix(data[at], 255 * red, alpha);
    data[at + 1] = mix(data[at + 1], 255 * green, alpha);
    data[at + 2] = mix(data[at + 2], 255 * blue, alpha);
  }

  /** Paints a triangle of three rows of `v`: pixel, depth and color, which are interpolated. */
  triangle(v, first, second, third, alpha, state) {
    const a = 6 * first, b = 6 * second, c = 6 * third, { width, height } = this.image, { depth } = this;
    const area = (v[b] - v[a]) * (v[c + 1] - v[a + 1]) - (v[b + 1] - v[a + 1]) * (v[c] - v[a]);
    // The y axis of pixels points down, so the front of a triangle has a negative area.
    if (area === 0 || (state.cull && area > 0)) return;
    const left = Math.max(Math.ceil(Math.min(v[a], v[b], v[c]) - 0.5), 0), right = Math.min(Math.floor(Math.max(v[a], v[b], v[c]) - 0.5), width - 1);
    const top = Math.max(Math.ceil(Math.min(v[a + 1], v[b + 1], v[c + 1]) - 0.5), 0), bottom = Math.min(Math.floor(Math.max(v[a + 1], v[b + 1], v[c + 1]) - 0.5), height - 1);
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const x = column + 0.5, y = row + 0.5;
        const p = ((v[b] - x) * (v[c + 1] - y) - (v[b + 1] - y) * (v[c] - x)) / area;
        const q = ((v[c] - x) * (v[a + 1] - y) - (v[c + 1] - y) * (v[a] - x)) / area, r = 1 - p - q;
        if (p < 0 || q < 0 || r < 0) continue;
        const index = row * width + column, z = p * v[a + 2] + q * v[b + 2] + r * v[c + 2];
        if (state.test && z > depth[index]) continue;
        if (state.write) depth[index] = z;
        this.blend(index, p * v[a + 3] + q * v[b + 3] + r * v[c + 3], p * v[a + 4] + q * v[b + 4] + r * v[c + 4], p * v[a + 5] + q * v[b + 5] + r * v[c + 5], alpha);
      }
    }
  }

  triangles(vertices, indices, alpha, state) {
    for (let k = 0; k < indices.length; k += 3) this.triangle(vertices, indices[k], indices[k + 1], indices[k + 2], alpha, state);
  }

  paintSurface(u, { values, indices }, state) {
    const count = values.length / 6, vertices = new Float32Array(6 * count);
    for (let i = 0; i < count; i++) {
      const at = 6 * i, position = [0, 1, 2].map((k) => clamp(u.origin[k] + u.spacing * values[at + k], u.low[k], u.high[k]));
      const length = Math.hypot(values[at + 3], values[at + 4], values[at + 5]) || 1, normal = [3, 4, 5].map((k) => values[at + k] / length);
      const front = dot(normal, u.toCamera) > 0, facing = front ? normal : normal.map((n) => -n);
      let depth = front ? 1 : -1;
      if (u.mode === 2) depth = dot(this.sample(u.directions, position.map((p, k) => (p - u.corner[k]) / u.extent[k])), normal) * u.offsetLimit / u.scale;
      const light = 0.2 + 0.5 * Math.max(dot(facing, u.toCamera), 0) + 0.42 * Math.max(dot(facing, u.upper), 0) + 0.14 * Math.max(dot(facing, u.side), 0);
      const shine = 0.1 * Math.max(dot(facing, u.halfway), 0) ** 16, strength = Math.min(Math.abs(depth), 1) ** 0.8, side = depth > 0 ? u.class1 : u.class0;
      vertices.set(this.project(...position), at);
      for (let k = 0; k < 3; k++) vertices[at + 3 + k] = Math.min((u.mode === 0 ? u.plain[k] : mix(u.pale[k], side[k], strength)) * light + shine, 1);
    }
    this.triangles(vertices, indices, u.opacity, state);
  }

  /** Returns the vector at a position of a texture of bytes in three dimensions, as fractions of its sides. */
  sample({ sizes, values }, fractions) {
    const at = fractions.map((f, k) => clamp(f * sizes[k] - 0.5, 0, sizes[k] - 1)), low = at.map(Math.floor), result = [0, 0, 0];
    for (let corner = 0; corner < 8; corner++) {
      const index = [0, 1, 2].map((k) => Math.min(low[k] + (corner >> k & 1), sizes[k] - 1));
      const weight = [0, 1, 2].reduce((w, k) => w * (corner >> k & 1 ? at[k] - low[k] : 1 - at[k] + low[k]), 1);
      const start = 3 * ((index[2] * sizes[1] + index[1]) * sizes[0] + index[0]);
      for (let k = 0; k < 3; k++) result[k] += weight * (values[start + k] - 128) / 127;
    }
    return result;
  }

  paintWalls(u, { values, indices }, state) {
    const count = values.length / 8, vertices = new Float32Array(6 * count);
    for (let i = 0; i < count; i++) {
      const at = 8 * i, normal = unit([3, 4, 5].map((k) => values[at + k])), label = 3 * (values[at + 6] % 10);
      const light = 0.6 + 0.22 * Math.max(dot(normal, u.toCamera), 0) + 0.3 * Math.max(dot(normal, u.upper), 0) + 0.1 * Math.max(dot(normal, u.side), 0);
      vertices.set(this.project(...[0, 1, 2].map((k) => mix(u.low[k], u.high[k], values[at + k]))), 6 * i);
      for (let k = 0; k < 3; k++) vertices[6 * i + 3 + k] = Math.min(mix(u.paper[k], u.colors[label + k], values[at + 7]) * light, 1);
    }
    this.triangles(vertices, indices, 1, state);
  }

  paintLines(u, { values }, state) {
    const corners = new Float32Array(24);
    for (let at = 0; at < values.length; at += 6) {
      const ends = [0, 3].map((k) => this.project(values[at + k], values[at + k + 1], values[at + k + 2]));
      const along = [ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]], length = Math.hypot(...along) || 1, half = u.width / 2 / length;
      for (let k = 0; k < 4; k++) {
        const [x, y, z] = ends[k >> 1], sign = k & 1 ? half : -half;
        corners.set([x - sign * along[1], y + sign * along[0], z, ...u.paint.slice(0, 3)], 6 * k);
      }
      this.triangles(corners, [0, 1, 2, 2, 1, 3], u.paint[3], state);
    }
  }

  /** Calls `paint(index, fractions)` at every pixel of the box of a plane. */
  eachPixel(u, paint) {
    const { width, height } = this.image, [left, bottom] = this.project(u.low[0], u.low[1], 0), [right, top] = this.project(u.high[0], u.high[1], 0);
    for (let row = Math.max(Math.round(top), 0); row < Math.min(Math.round(bottom), height); row++) {
      for (let column = Math.max(Math.round(left), 0); column < Math.min(Math.round(right), width); column++) {
        paint(row * width + column, (column + 0.5 - left) / (right - left), (bottom - row - 0.5) / (bottom - top), column, row);
      }
    }
  }

  paintRegions(u) {
    const [nx, ny] = u.levels.sizes, { values } = u.levels;
    const level = (fx, fy) => {
      const x = clamp(fx * nx - 0.5, 0, nx - 1.001), y = clamp(fy * ny - 0.5, 0, ny - 1.001), i = Math.floor(x), j = Math.floor(y), at = j * nx + i;
      return mix(mix(values[at], values[at + 1], x - i), mix(values[at + nx], values[at + nx + 1], x - i), y - j);
    };
    const sides = [0, 1].map((k) => u.high[k] - u.low[k]), start = [0, 1].map((k) => u.low[k] - u.corner[k]);
    const [left] = this.project(u.low[0], 0, 0), [right] = this.project(u.high[0], 0, 0), pixel = 1 / (right - left);
    this.eachPixel(u, (index, a, b) => {
      const at = (da, db) => level((start[0] + (a + da) * sides[0]) / u.extent[0], (start[1] + (b + db) * sides[1]) / u.extent[1]);
      const here = at(0, 0), pixels = here / Math.max(Math.hypot(at(pixel, 0) - here, at(0, pixel * sides[0] / sides[1]) - here), 1e-4);
      const share = clamp(pixels + 0.5, 0, 1), stroke = u.line && Math.abs(here) < 120 ? 1 - clamp(Math.abs(pixels) - 0.8 * u.cellPixels, 0, 1) : 0;
      this.blend(index, ...[0, 1, 2].map((k) => mix(mix(u.paper[k], mix(u.class0[k], u.class1[k], share), 0.26), u.ink[k], stroke)), 1);
    });
  }

  paintClasses(u) {
    const [nx, ny] = u.levels.sizes, { values } = u.levels, { height } = this.image;
    this.eachPixel(u, (index, a, b, column, row) => {
      const at = 2 * (Math.min(Math.floor(b * ny), ny - 1) * nx + Math.min(Math.floor(a * nx), nx - 1)), number = values[at] + 256 * (values[at + 1] & 127), label = 3 * (number % 10);
      const valid = !u.bounds || values[at + 1] >= 128, hatched = !valid && (column + height - row) % (9 * u.cellPixels) < 1.6 * u.cellPixels;
      this.blend(index, ...[0, 1, 2].map((k) => mix(u.paper[k], u.colors[label + k], hatched || number === 32767 ? 0 : valid ? 0.6 : 0.3)), 1);
    });
  }

  /** Paints the markers as the fragment program does; `distance` is negative inside the shape. */
  paintMarkers(u, { values }, state) {
    const { width, height } = this.image, shapes = [
      (x, y) => Math.hypot(x, y) - 1, (x, y) => (Math.abs(x) + Math.abs(y) - 1.3) * 0.7071, (x, y) => Math.max(Math.abs(x), Math.abs(y)) - 0.885,
      (x, y) => Math.max(-y - 0.82, (y + 0.1) * 0.5 + Math.abs(x) * 0.866 - 0.72),
    ];
    const cover = (distance) => clamp(0.5 - distance * u.radius, 0, 1);
    for (let at = 0; at < values.length; at += 7) {
      const position = [...values.subarray(at, at + 3)], [label, shape, wrong, selected] = values.subarray(at + 3, at + 7);
      const [x, y] = this.project(...position), z = this.project(...position.map((p, k) => p + u.approach[k]))[2];
      const color = [0, 1, 2].map((k) => u.colors[3 * label + k]), size = (wrong ? 2.1 : 1.55) * u.radius;
      for (let row = Math.max(Math.floor(y - size), 0); row < Math.min(y + size, height); row++) {
        for (let column = Math.max(Math.floor(x - size), 0); column < Math.min(x + size, width); column++) {
          const index = row * width + column;
          if (state.test && z > this.depth[index]) continue;
          const dx = (column + 0.5 - x) / u.radius, dy = (y - row - 0.5) / u.radius, away = shapes[shape](dx, dy);
          const ring = wrong * cover(Math.abs(Math.hypot(dx, dy) - 1.85) - 0.13);
          if (u.outline) {
            const edge = cover(Math.abs(away + 0.16) - 0.16);
            this.blend(index, ...color.map((part, k) => mix(u.inside[k], part, edge)), cover(away));
          } else {
            this.blend(index, ...u.rim, cover(away - 0.3));
            this.blend(index, ...color, cover(away));
            if (selected) this.blend(index, ...u.ink, cover(Math.abs(away - 0.42) - 0.16));
          }
          this.blend(index, ...u.ink, u.outline ? 0.6 * ring : ring);
        }
      }
    }
  }
}
