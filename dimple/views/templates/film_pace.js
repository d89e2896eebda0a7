// How finely a picture in motion is painted: as finely as leaves thirty a second, and what is in the way where nothing does.

const ENOUGH = 30;
// So many pictures tell how long one takes: their middle, as single ones are held up by other things.
const TOLD_BY = 5;
// Of the pixels of the screen in each direction; a processor that paints begins with the second.
const SHARES = [1, 0.75, 0.6, 0.5, 0.4, 0.32];

class Pace {
  constructor(software) {
    this.software = software;
    this.level = software ? 1 : 0;
    this.rate = ENOUGH;
    this.forget(0);
  }

  get share() {
    return SHARES[this.level];
  }

  forget(now) {
    Object.assign(this, { before: now, passed: [], searching: 0 });
  }

  /** A picture in motion was painted at `now`; finding its surface took `searching` of the milliseconds before. */
  note(now, searching) {
    const passed = now - this.before;
    this.before = now;
    // It was at rest, or in the background.
    if (passed > 400) return this.forget(now);
    this.passed.push(passed);
    this.searching += searching;
    if (this.passed.length < TOLD_BY) return;
    const middle = this.passed.sort((a, b) => a - b)[TOLD_BY >> 1], limit = 1000 / ENOUGH;
    this.rate = 1000 / middle;
    this.mostlySearching = this.searching / TOLD_BY > middle / 2;
    // A picture in time can be late by a refresh of the screen; and one level up must not be too slow again.
    if (middle > 1.1 * limit) this.coarsen(Math.sqrt(limit / middle));
    else if (middle < 0.55 * limit) this.level = Math.max(this.level - 1, 0);
    this.forget(now);
  }

  /** At least one level down, and to the one whose pixels fit into the time if they alone take it. */
  coarsen(share) {
    const fitting = SHARES.findIndex((other) => other <= share * this.share), last = SHARES.length - 1;
    this.level = Math.min(Math.max(fitting < 0 ? last : fitting, this.level + 1), last);
  }

  /** What keeps motion from being smooth, once the coarsest pictures are too slow as well; empty where it is smooth. */
  get limit() {
    if (this.rate > 0.9 * ENOUGH || this.level < SHARES.length - 1) return '';
    const why = this.mostlySearching ? 'finding the boundary between snapshots takes most of the time'
      : this.software ? 'the processor paints, for want of a graphics card' : 'the graphics card has no more';
    return `${Math.round(this.rate)} pictures a second: ${why}`;
  }
}
