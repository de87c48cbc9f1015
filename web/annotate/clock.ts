/** Seconds that a person works at a mask: those in which the page is seen and used. */

const IDLE_AFTER_MS = 60_000;

export class Clock {
  private counted = 0;
  private since = performance.now();
  private lastUse = performance.now();
  private isHidden = document.hidden;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      this.count();
      this.isHidden = document.hidden;
      this.lastUse = performance.now();
    });
    for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      addEventListener(kind, () => this.use(), { capture: true, passive: true });
    }
  }

  get seconds(): number {
    this.count();
    return this.counted / 1000;
  }

  /** Begins with a mask, at which somebody may have worked for some seconds already. */
  restart(seconds = 0): void {
    this.since = this.lastUse = performance.now();
    this.counted = 1000 * seconds;
  }

  private use(): void {
    this.count();
    this.lastUse = performance.now();
  }

  private count(): void {
    const now = performance.now();
    const until = Math.min(now, this.lastUse + IDLE_AFTER_MS);
    if (!this.isHidden) this.counted += Math.max(0, until - this.since);
    this.since = now;
  }
}
