/**
 * One time axis for milliseconds and minutes at once: stretches in which nothing happened are folded into breaks, drawn as such
 * and labelled with what they hide, so that a retry a minute later does not squeeze the transaction into one pixel.
 */
export interface Moment {
  from: number;
  to: number;
}

export interface Break {
  from: number;
  to: number;
  /** Share of the axis, 0 to 1. */
  left: number;
  width: number;
}

export interface Axis {
  /** Where a time stands on the axis, 0 to 1. */
  at(time: number): number;
  breaks: readonly Break[];
  ticks: readonly { time: number; at: number }[];
}

interface Piece {
  from: number;
  to: number;
  left: number;
  width: number;
  folded: boolean;
}

const foldedWidth = 0.13;
/** A gap is folded when it is longer than this many times everything that is not folded. */
const foldFrom = 1.5;
const leastGapMs = 50;

const gapsBetween = (moments: readonly Moment[]): Moment[] => {
  const sorted = [...moments].sort((a, b) => a.from - b.from);
  const gaps: Moment[] = [];
  let end = sorted[0]?.from ?? 0;
  for (const { from, to } of sorted) {
    if (from > end) gaps.push({ from: end, to: from });
    end = Math.max(end, to);
  }
  return gaps;
};

/** Longest first, a gap is folded as long as it dwarfs the rest. */
const foldedGaps = (moments: readonly Moment[], start: number, end: number): Moment[] => {
  const folded: Moment[] = [];
  let rest = end - start;
  for (const gap of gapsBetween(moments).sort((a, b) => b.to - b.from - (a.to - a.from))) {
    const length = gap.to - gap.from;
    if (length < leastGapMs || length < foldFrom * (rest - length) || folded.length === 4) break;
    folded.push(gap);
    rest -= length;
  }
  return folded.sort((a, b) => a.from - b.from);
};

const piecesOf = (folded: readonly Moment[], start: number, end: number): Piece[] => {
  const open = Math.max(end - start - folded.reduce((sum, gap) => sum + gap.to - gap.from, 0), 1);
  const room = 1 - folded.length * foldedWidth;
  const pieces: Piece[] = [];
  let left = 0;
  let time = start;
  const add = (to: number, width: number, isFolded: boolean): void => {
    pieces.push({ from: time, to, left, width, folded: isFolded });
    left += width;
    time = to;
  };
  for (const gap of folded) {
    add(gap.from, ((gap.from - time) / open) * room, false);
    add(gap.to, foldedWidth, true);
  }
  add(end, Math.max(1 - left, 0), false);
  return pieces;
};

/** Room that the text of a tick takes, as a share of the axis. */
const labelWidth = 0.15;
const round = [1, 2, 5];
/** The step that gives at most `count` ticks: 1, 2 or 5 times a power of ten. */
const stepFor = (length: number, count: number): number => {
  let power = 0.001;
  for (;;) {
    for (const step of round) if (length / (step * power) <= count) return step * power;
    power *= 10;
  }
};

const ticksOf = (pieces: readonly Piece[], start: number): { time: number; at: number }[] => {
  const ticks: { time: number; at: number }[] = [];
  for (const piece of pieces) {
    if (piece.folded || piece.to <= piece.from) continue;
    const room = Math.max(Math.round(piece.width * 5), 1);
    const step = stepFor(piece.to - piece.from, room);
    const first = Math.ceil((piece.from - start) / step) * step;
    for (let offset = first, guard = 0; offset <= piece.to - start && guard < 20; offset += step, guard += 1) {
      const at = piece.left + ((start + offset - piece.from) / (piece.to - piece.from)) * piece.width;
      const last = ticks.at(-1);
      if (!last || at - last.at > labelWidth) ticks.push({ time: start + offset, at });
    }
  }
  const breaks = pieces.filter((piece) => piece.folded);
  return ticks.filter((tick) => tick.at < 1 - labelWidth && !breaks.some((piece) => tick.at < piece.left && tick.at > piece.left - labelWidth));
};

/** `moments` are the stretches in which something happened; an instant has `from` equal to `to`. */
export function axisOf(moments: readonly Moment[]): Axis {
  const start = Math.min(...moments.map((moment) => moment.from));
  const end = Math.max(...moments.map((moment) => moment.to), start + 1);
  const pieces = piecesOf(foldedGaps(moments, start, end), start, end);
  const at = (time: number): number => {
    const piece = pieces.find((each) => time <= each.to) ?? pieces.at(-1);
    if (!piece || piece.to === piece.from) return piece ? piece.left : 0;
    return piece.left + (Math.min(Math.max(time - piece.from, 0), piece.to - piece.from) / (piece.to - piece.from)) * piece.width;
  };
  const breaks = pieces.filter((piece) => piece.folded).map(({ from, to, left, width }) => ({ from, to, left, width }));
  return { at, breaks, ticks: ticksOf(pieces, start) };
}
