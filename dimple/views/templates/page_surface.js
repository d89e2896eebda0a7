// The zero surface of values on a grid by surface nets: a vertex in each cell that the surface crosses, a quad on each edge.
// Gibson 1998. Chosen over marching cubes because its triangles are more regular and half as many, so shading is smooth.

class SurfaceNets {
  /** `near`: a bound of the values at the corners of crossed cells; cells whose first corner exceeds it are skipped. */
  constructor(counts, near = Infinity) {
    this.counts = counts;
    this.near = near;
    this.corner = new Float32Array(8);
    this.vertexOf = new Int32Array(counts[0] * counts[1] * counts[2]);
    this.reserve(1 << 14, 1 << 16);
  }

  reserve(vertices, indices) {
    this.vertices = new Float32Array(6 * vertices);
    this.indices = new Uint32Array(indices);
  }

  /** Fills `vertices` (position and normal, in cells) and `indices`; returns the number of vertices and of indices. */
  extract(level) {
    for (;;) {
      const counts = this.attempt(level);
      if (counts) return counts;
      this.reserve(this.vertices.length / 3, 2 * this.indices.length);
    }
  }

  attempt(level) {
    const [nx, ny, nz] = this.counts, plane = nx * ny, { vertices, indices, vertexOf, near, corner } = this;
    let found = 0, filled = 0;
    for (let z = 0; z + 1 < nz; z++) {
      for (let y = 0; y + 1 < ny; y++) {
        let i = z * plane + y * nx;
        for (let x = 0; x + 1 < nx; x++, i++) {
          const first = level[i];
          if (first > near || first < -near) continue;
          const j = i + nx, k = i + plane, l = j + plane;
          const mask = (first > 0) | (level[i + 1] > 0) << 1 | (level[j] > 0) << 2 | (level[j + 1] > 0) << 3
            | (level[k] > 0) << 4 | (level[k + 1] > 0) << 5 | (level[l] > 0) << 6 | (level[l + 1] > 0) << 7;
          if (mask === 0 || mask === 255) continue;
          if (6 * found + 6 > vertices.length || filled + 18 > indices.length) return null;
          corner[0] = first; corner[1] = level[i + 1]; corner[2] = level[j]; corner[3] = level[j + 1];
          corner[4] = level[k]; corner[5] = level[k + 1]; corner[6] = level[l]; corner[7] = level[l + 1];
          this.placeVertex(6 * found, corner, x, y, z);
          vertexOf[i] = found++;
          // The quads around the three edges at the lowest corner; the neighboring cells before this one have their vertices.
          if (y > 0 && z > 0 && ((mask ^ (mask >> 1)) & 1)) filled = this.quad(filled, i, nx, plane, mask & 1);
          if (x > 0 && z > 0 && ((mask ^ (mask >> 2)) & 1)) filled = this.quad(filled, i, plane, 1, mask & 1);
          if (x > 0 && y > 0 && ((mask ^ (mask >> 4)) & 1)) filled = this.quad(filled, i, 1, nx, mask & 1);
        }
      }
    }
    return { vertices: found, indices: filled };
  }

  /** Computes the mean of the crossings on the edges of a cell; its normal is the gradient, toward class 1. */
  placeVertex(at, corner, x, y, z) {
    let px = 0, py = 0, pz = 0, crossings = 0;
    for (let axis = 1; axis < 8; axis <<= 1) {
      for (let c = 0; c < 8; c++) {
        const other = c | axis;
        if (other === c || corner[c] > 0 === corner[other] > 0) continue;
        const fraction = corner[c] / (corner[c] - corner[other]);
        px += axis === 1 ? fraction : c & 1;
        py += axis === 2 ? fraction : (c >> 1) & 1;
        pz += axis === 4 ? fraction : (c >> 2) & 1;
        crossings++;
      }
    }
    const [a, b, c, d, e, f, g, h] = corner, v = this.vertices;
    v[at] = x + px / crossings; v[at + 1] = y + py / crossings; v[at + 2] = z + pz / crossings;
    v[at + 3] = b + d + f + h - a - c - e - g; v[at + 4] = c + d + g + h - a - b - e - f; v[at + 5] = e + f + g + h - a - b - c - d;
  }

  /** Adds two triangles between the four cells around an edge, with their front toward class 1. */
  quad(at, cell, first, second, positive) {
    const cells = this.vertexOf, ids = this.indices;
    const a = cells[cell], b = cells[cell - first], c = cells[cell - first - second], d = cells[cell - second];
    const left = positive ? b : d, right = positive ? d : b;
    ids[at] = a; ids[at + 1] = right; ids[at + 2] = c; ids[at + 3] = a; ids[at + 4] = c; ids[at + 5] = left;
    return at + 6;
  }
}
