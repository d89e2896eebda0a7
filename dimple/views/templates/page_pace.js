// The resolution of pictures in motion: the finest one that reaches thirty pictures a second, or the reason why none does.

const TARGET_RATE = 30;
// The time of a picture is the median over this number of pictures; single pictures are delayed by other work.
const MEDIAN_COUNT = 5;
// Fractions of the pixels of the screen in each direction; software rendering begins with the second.
const PIXEL_FRACTIONS = [1, 0.75, 0.6, 0.5, 0.4, 0.32];

class Pace {
  constructor(software) {
    this.software = software;
    this.level = software ? 1 : 0;
    this.rate = TARGET_RATE;
    this.restart(0);
  }

  get fraction() {
    return PIXEL_FRACTIONS[this.level];
  }

  restart(now) {
    Object.assign(this, { before: now, times: [], extractionTime: 0 });
  }

  /** Records a picture in motion painted at `now`; its surface was extracted in `extractionTime` milliseconds. */
  record(now, extractionTime) {
    const elapsed = now - this.before;
    this.before = now;
    // The page was at rest or in the background.
    if (elapsed > 400) return this.restart(now);
    this.times.push(elapsed);
    this.extractionTime += extractionTime;
    if (this.times.length < MEDIAN_COUNT) return;
    const middle = this.times.sort((a, b) => a - b)[MEDIAN_COUNT >> 1], limit = 1000 / TARGET_RATE;
    this.rate = 1000 / middle;
    this.mostlyExtraction = this.extractionTime / MEDIAN_COUNT > middle / 2;
    // A picture may be late by one refresh of the screen, and the next finer level must not be too slow again.
    if (middle > 1.1 * limit) this.coarsen(Math.sqrt(limit / middle));
    else if (middle < 0.55 * limit) this.level = Math.max(this.level - 1, 0);
    this.restart(now);
  }

  /** Goes down at least one level, to the one whose pixels fit into the time if they alone take it. */
  coarsen(fraction) {
    const fitting = PIXEL_FRACTIONS.findIndex((other) => other <= fraction * this.fraction), last = PIXEL_FRACTIONS.length - 1;
    this.level = Math.min(Math.max(fitting < 0 ? last : fitting, this.level + 1), last);
  }

  /** Returns the reason why motion is not smooth at the coarsest level; empty where it is smooth. */
  get limit() {
    if (this.rate > 0.9 * TARGET_RATE || this.level < PIXEL_FRACTIONS.length - 1) return '';
    const why = this.mostlyExtraction ? 'finding the boundary between snapshots takes most of the time'
      : this.software ? 'software rendering, because there is no graphics card' : 'the graphics card is at its limit';
    return `${Math.round(this.rate)} pictures a second: ${why}`;
  }
}
